"""Where names become objects: from a recipe to a run folder, and from a run folder to scores and predictions."""
