"""The small vulnerability database that the project makes itself, for demonstrations and tests."""
