using System.Diagnostics;
using System.Globalization;
using Microsoft.Win32.SafeHandles;
using OrleansMq.Brokers;
using OrleansMq.Records;

namespace OrleansMq.Tests.Benchmarks;

/// <summary>
/// How near the append path comes to what the disk's file system takes: batches of 64 KiB appended to a partition (validated, stamped, indexed,
/// acknowledged), beside a raw sequential write of the same bytes. Both alternate on the same disk, since the machine's pace drifts.
/// </summary>
internal static class AppendCeiling
{
    // As many as a busy producer has in flight: the append loop always finds work, and may take several at once.
    private const int InFlight = 16;

    public static async Task<int> RunAsync(string[] args)
    {
        var pairs = Option(args, "--pairs", 7);
        var megabytes = Option(args, "--mb", 512);
        var batchSize = Option(args, "--batch", 64 << 10);
        var root = Path.GetFullPath(args.SkipWhile(a => a != "--dir").Skip(1).FirstOrDefault() ?? Path.Combine("artifacts", "append-ceiling"));
        var template = Samples.Batch(batchSize);
        var batches = (int)(((long)megabytes << 20) / template.Length);
        Console.WriteLine($"{batches} batches of {template.Length} bytes a run, {InFlight} in flight, in {root}");
        Console.WriteLine("pair | append MB/s | raw MB/s | append/raw | bytes allocated per batch");

        var ratios = new List<double>();
        var allocations = new List<double>();
        // The first pair warms up and is not counted.
        for (var pair = 0; pair <= pairs; pair++)
        {
            var (appendSeconds, allocated) = await AppendAsync(Path.Combine(root, "partition"), template, batches);
            var rawSeconds = WriteRaw(Path.Combine(root, "raw"), template, batches);
            var volume = (double)template.Length * batches / 1e6;
            var label = pair == 0 ? "warm" : pair.ToString(CultureInfo.InvariantCulture);
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{label,4} | {volume / appendSeconds,11:F0} | {volume / rawSeconds,8:F0} | {rawSeconds / appendSeconds,10:P1} | {allocated:F2}"));
            if (pair == 0)
                continue;
            ratios.Add(rawSeconds / appendSeconds);
            allocations.Add(allocated);
        }
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"median: {Median(ratios):P1} of raw (lowest {ratios.Min():P1}, highest {ratios.Max():P1}), {Median(allocations):F2} bytes per batch"));
        return 0;
    }

    private static async Task<(double Seconds, double AllocatedPerBatch)> AppendAsync(string directory, byte[] template, int batches)
    {
        await using var opened = await BenchmarkPartition.OpenAsync(directory);
        var buffers = Enumerable.Range(0, InFlight).Select(_ => template.ToArray()).ToArray();
        var pending = new ValueTask<ProduceResult>[InFlight];
        await AppendAsync(opened, buffers, pending, 4 * InFlight);

        var allocatedBefore = GC.GetTotalAllocatedBytes(precise: true);
        var start = Stopwatch.GetTimestamp();
        await AppendAsync(opened, buffers, pending, batches);
        var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        var allocated = GC.GetTotalAllocatedBytes(precise: true) - allocatedBefore;
        return (seconds, (double)allocated / batches);
    }

    private static async Task AppendAsync(BenchmarkPartition opened, byte[][] buffers, ValueTask<ProduceResult>[] pending, int batches)
    {
        for (var i = 0; i < batches + InFlight; i++)
        {
            if (i >= InFlight)
            {
                var result = await pending[i % InFlight];
                if (result.Error != ErrorCode.None)
                    throw new InvalidOperationException($"{result.Error}: {result.Message}");
            }
            if (i < batches)
                pending[i % InFlight] = opened.Partition.AppendAsync(buffers[i % InFlight], Acks.Leader);
        }
    }

    private static double WriteRaw(string path, byte[] template, int batches)
    {
        using SafeFileHandle file = File.OpenHandle(path, FileMode.Create, FileAccess.ReadWrite);
        var start = Stopwatch.GetTimestamp();
        var position = 0L;
        for (var i = 0; i < batches; i++)
        {
            RecordBatchHeader.StampBaseOffset(template, i);
            RandomAccess.Write(file, template, position);
            position += template.Length;
        }
        var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        file.Dispose();
        File.Delete(path);
        return seconds;
    }

    private static double Median(List<double> values)
    {
        values.Sort();
        return values.Count % 2 == 1 ? values[values.Count / 2] : (values[(values.Count / 2) - 1] + values[values.Count / 2]) / 2;
    }

    private static int Option(string[] args, string name, int fallback) =>
        args.SkipWhile(a => a != name).Skip(1).FirstOrDefault() is { } text ? int.Parse(text, CultureInfo.InvariantCulture) : fallback;
}
