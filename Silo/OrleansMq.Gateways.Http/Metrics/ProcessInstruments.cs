using System.Diagnostics.Metrics;

namespace OrleansMq.Gateways.Http.Metrics;

/// <summary>The process itself: memory, processor time, garbage collection.</summary>
internal static class ProcessInstruments
{
    /// <summary>Adds them.</summary>
    public static void AddTo(Meter meter, MetricSource source)
    {
        var started = TimeProvider.System.GetTimestamp();
        meter.CreateObservableGauge("orleansmq.build.info",
            () => new Measurement<int>(1, new("version", source.Version), new("flavour", source.Flavour)), null,
            "Always 1; the labels say what runs.");
        meter.CreateObservableGauge("orleansmq.process.uptime", () => TimeProvider.System.GetElapsedTime(started).TotalSeconds, "s",
            "Time since the broker started.");
        meter.CreateObservableGauge("orleansmq.process.resident.memory", static () => Environment.WorkingSet, "By",
            "Resident memory of the process.");
        meter.CreateObservableCounter("orleansmq.process.cpu", static () => Environment.CpuUsage.TotalTime.TotalSeconds, "s",
            "Processor time of the process.");
        meter.CreateObservableGauge("orleansmq.gc.heap", static () => GC.GetTotalMemory(false), "By", "Managed memory in use.");
        meter.CreateObservableCounter("orleansmq.gc.allocated", static () => GC.GetTotalAllocatedBytes(), "By",
            "Managed memory allocated since the start.");
        meter.CreateObservableCounter("orleansmq.gc.pause", static () => GC.GetTotalPauseDuration().TotalSeconds, "s",
            "Time the process stood still for garbage collection.");
        meter.CreateObservableCounter("orleansmq.gc.collections", Collections, "{collection}", "Garbage collections by generation.");
        meter.CreateObservableGauge("orleansmq.threadpool.threads", static () => ThreadPool.ThreadCount, "{thread}",
            "Threads of the thread pool.");
        meter.CreateObservableGauge("orleansmq.threadpool.queue", static () => ThreadPool.PendingWorkItemCount, "{item}",
            "Work that waits for a thread of the pool.");
    }

    private static IEnumerable<Measurement<int>> Collections()
    {
        for (var generation = 0; generation <= GC.MaxGeneration; generation++)
            yield return new Measurement<int>(GC.CollectionCount(generation), new KeyValuePair<string, object?>("generation", generation));
    }
}
