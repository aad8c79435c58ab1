// Each run takes the whole machine, and measures time.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
