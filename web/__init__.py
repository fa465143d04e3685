"""What browsers are given: ``client/`` for people in calls. Nothing here is imported; the server sends it."""
