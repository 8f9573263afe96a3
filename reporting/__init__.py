"""Pages and tables from what a comparison found."""
