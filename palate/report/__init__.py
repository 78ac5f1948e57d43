"""What goes onto the Hub about a project: cards, plots, exports, verdicts, judge reports."""
