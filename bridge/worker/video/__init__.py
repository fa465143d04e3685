"""The video process: packets to pictures, pictures to one picture, that one encoded once and sent to many."""
