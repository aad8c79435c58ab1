// Each run uses the whole machine and measures time.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
