using System.Diagnostics;
using System.Globalization;
using OrleansMq.Api;

namespace OrleansMq.Tests.Benchmarks;

/// <summary>How close the append path comes to the throughput of the disk's file system. Batches of 64 KiB are appended to a partition
/// (validated, stamped, indexed, acknowledged), beside raw sequential writes of the same bytes. Both alternate on the same disk, since the
/// machine's speed drifts.</summary>
internal static class AppendCeiling
{
    // Until pools, compiled code and the segment's buffers are in a steady state.
    private const int WarmUpBatches = 512;

    public static async Task<int> RunAsync(CommandArguments arguments)
    {
        var pairs = arguments.Number("--pairs", 7);
        var inFlight = arguments.Number("--in-flight", 16);
        var isFlushed = arguments.Text("--flush") switch
        {
            null or "none" => false,
            "sync" => true,
            var other => throw new FormatException($"--flush is '{other}'; it may be none or sync."),
        };
        var batch = Samples.Batch(arguments.Number("--batch", 64 << 10));
        var batches = (int)(((long)arguments.Number("--mb", 512) << 20) / batch.Length);
        var directory = arguments.Directory("append-ceiling");
        Console.WriteLine($"{batches} batches of {batch.Length} bytes a run, {inFlight} in flight, {Environment.ProcessorCount} "
            + $"processors, in {directory}");
        if (isFlushed)
            Console.WriteLine($"what is appended is on the disk when it is acknowledged; the raw file is flushed after every {inFlight} "
                + "batches");
        Console.WriteLine($"raw: one write a batch; raw x{inFlight}: one for {inFlight} batches, as the append loop may do when it has "
            + "fallen behind");
        Console.WriteLine($"pair | append MB/s | raw MB/s | append/raw | raw x{inFlight} MB/s | append/raw x{inFlight} | CPU µs/batch "
            + "append, raw | allocated B/batch");

        var runs = new List<Run>();
        try
        {
            // The first pair is a warm-up and not counted.
            for (var pair = 0; pair <= pairs; pair++)
            {
                var megabytes = (double)batch.Length * batches / 1e6;
                var (append, allocated) = await AppendAsync(Path.Combine(directory, "partition"), batch, batches, inFlight, isFlushed);
                var flushAfter = isFlushed ? inFlight : int.MaxValue;
                var raw = WriteRaw(Path.Combine(directory, "raw"), batch, batches, batchesAtOnce: 1, flushAfter);
                var large = WriteRaw(Path.Combine(directory, "raw"), batch, batches, inFlight, flushAfter);
                var run = new Run(megabytes / append.Seconds, megabytes / raw.Seconds, megabytes / large.Seconds,
                    append.ProcessorSeconds / batches * 1e6, raw.ProcessorSeconds / batches * 1e6, allocated);
                Console.WriteLine($"{(pair == 0 ? "warm" : pair.ToString(CultureInfo.InvariantCulture)),4} {run}");
                if (pair > 0)
                    runs.Add(run);
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
        Report(runs);
        return 0;
    }

    private static async Task<(Span Time, double AllocatedPerBatch)> AppendAsync(string directory, byte[] batch, int batches, int inFlight,
        bool isFlushed)
    {
        await using var opened = await BenchmarkPartition.OpenAsync(directory, isFlushed ? Samples.Topic with { FlushMessages = 1 } : null);
        var buffers = Enumerable.Range(0, inFlight).Select(_ => batch.ToArray()).ToArray();
        var pending = new ValueTask<ProduceResult>[inFlight];
        long allocated = 0;
        var start = default(Span);
        for (var i = 0; i < WarmUpBatches + batches + inFlight; i++)
        {
            if (i >= inFlight)
                Check(await pending[i % inFlight]);
            if (i == WarmUpBatches)
            {
                allocated = GC.GetTotalAllocatedBytes(precise: true);
                start = Span.Now;
            }
            if (i < WarmUpBatches + batches)
                pending[i % inFlight] = opened.Partition.AppendAsync(buffers[i % inFlight], Acks.Leader);
        }
        var time = Span.Since(start);
        return (time, (double)(GC.GetTotalAllocatedBytes(precise: true) - allocated) / batches);
    }

    private static void Check(in ProduceResult result)
    {
        if (result.Error != ErrorCode.None)
            throw new InvalidOperationException($"{result.Error}: {result.Message}");
    }

    private static Span WriteRaw(string path, byte[] batch, int batches, int batchesAtOnce, int flushAfter)
    {
        var block = Enumerable.Repeat(batch, batchesAtOnce).SelectMany(bytes => bytes).ToArray();
        Span time;
        using (var file = File.OpenHandle(path, FileMode.Create, FileAccess.ReadWrite))
        {
            var start = Span.Now;
            for (var i = 0; i < batches; i += batchesAtOnce)
            {
                RandomAccess.Write(file, block.AsSpan(0, Math.Min(batchesAtOnce, batches - i) * batch.Length), (long)i * batch.Length);
                if ((i + batchesAtOnce) % flushAfter == 0)
                    RandomAccess.FlushToDisk(file);
            }
            time = Span.Since(start);
        }
        File.Delete(path);
        return time;
    }

    private static void Report(List<Run> runs)
    {
        var ratios = runs.Select(run => run.Append / run.Raw).ToList();
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"median: {Statistics.Median(ratios):P1} of raw (lowest {ratios.Min():P1}, highest {ratios.Max():P1}), "
            + $"{Statistics.Median(runs.Select(run => run.Append / run.RawLarge)):P1} of raw in large writes, "
            + $"{Statistics.Median(runs.Select(run => run.Allocated)):F2} bytes allocated per batch; CPU time per batch: append "
            + $"{Statistics.Median(runs.Select(run => run.AppendProcessor)):F1} µs, raw "
            + $"{Statistics.Median(runs.Select(run => run.RawProcessor)):F1} µs"));
        // On a shared machine the best of each is the least disturbed one.
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"best: append {runs.Max(run => run.Append):F0}, raw {runs.Max(run => run.Raw):F0}, large {runs.Max(run => run.RawLarge):F0} "
            + $"MB/s"));
    }

    /// <summary>Wall-clock time, and processor time, which excludes other programs' use of the machine.</summary>
    private readonly record struct Span(double Seconds, double ProcessorSeconds)
    {
        public static Span Now => new(Stopwatch.GetTimestamp() / (double)Stopwatch.Frequency, Environment.CpuUsage.TotalTime.TotalSeconds);

        public static Span Since(in Span start)
        {
            var now = Now;
            return new Span(now.Seconds - start.Seconds, now.ProcessorSeconds - start.ProcessorSeconds);
        }
    }

    private readonly record struct Run(double Append, double Raw, double RawLarge, double AppendProcessor, double RawProcessor,
        double Allocated)
    {
        public override string ToString() => string.Create(CultureInfo.InvariantCulture,
            $"| {Append,11:F0} | {Raw,8:F0} | {Append / Raw,10:P1} | {RawLarge,12:F0} | {Append / RawLarge,14:P1} | "
            + $"{AppendProcessor,17:F1}, {RawProcessor,4:F1} | {Allocated:F2}");
    }
}
