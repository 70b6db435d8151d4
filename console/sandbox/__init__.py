"""Programs run with bounds and without rights. Knows neither Django nor jobs."""
