"""The label Space: its pairs and labels, the owner's page, and Argilla's pages."""
