"""The leaderboard, how sure it is, what it says in words, and what to take; imports from search down."""
