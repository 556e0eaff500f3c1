"""What sparse training reaches: accuracy, not speed."""
