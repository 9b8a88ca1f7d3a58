"""What is handed over: whether the merged, saved, exported and reloaded model is still the model that was trained."""
