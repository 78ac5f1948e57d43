"""What every room builds on: rows, the project, the Hub, statistics, errors."""
