using System.Diagnostics;
using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Compression;
using OrleansMq.Schedules;

namespace OrleansMq.Tests.Benchmarks;

/// <summary>Schedules: the memory of a timer, records scheduled a second, and when those due in one second are in their topic;
/// over a broker in this process on the machine's disk.</summary>
internal static class ScheduleBenchmarks
{
    private const string Topic = "orders";
    private static readonly TimeSpan ReadInterval = TimeSpan.FromMilliseconds(20);

    public static async Task<int> RunAsync(CommandArguments arguments)
    {
        var timers = arguments.Number("--timers", 10_000_000);
        var due = arguments.Number("--due", 50_000);
        var waiting = arguments.Number("--waiting", 200_000);
        var partitions = arguments.Number("--partitions", 4);
        var inFlight = arguments.Number("--in-flight", 1_000);
        var rounds = arguments.Number("--rounds", 3);
        var directory = arguments.Directory("schedules");
        MeasureMemory(timers);
        try
        {
            var options = new BrokerOptions { DataDirectory = Path.Combine(directory, "data"), Codecs = StandardCodecs.All };
            await using var broker = await LocalBroker.OpenAsync(options);
            await broker.CreateTopicAsync(new NewTopic(Topic, partitions));
            var rate = await ScheduleAsync(broker, waiting, inFlight, static number => DateTimeOffset.UtcNow.AddDays(1 + number % 300));
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"scheduled: {rate:N0} records/s, {inFlight:N0} in flight, {waiting:N0} within a year"));
            for (var round = 0; round < rounds; round++)
                await MeasureDueAsync(broker, due, partitions, inFlight);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
        return 0;
    }

    // All of them within the horizon, in random order: those beyond it take no memory.
    private static void MeasureMemory(int timers)
    {
        const long now = 1_800_000_000_000, bucketMs = 3_600_000_000;
        var before = GC.GetTotalMemory(forceFullCollection: true);
        var wheel = new TimerWheel(new MemoryTimerBuckets(), bucketMs, now);
        var random = new Random(7);
        Span<byte> id = stackalloc byte[16];
        var watch = Stopwatch.StartNew();
        for (var number = 0; number < timers; number++)
        {
            random.NextBytes(id);
            wheel.Schedule(new ScheduledTimer(new ScheduleHandle(now + random.NextInt64(bucketMs), new Guid(id)), number, number));
        }
        var seconds = watch.Elapsed.TotalSeconds;
        var bytes = GC.GetTotalMemory(forceFullCollection: true) - before;
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"wheel: {wheel.InMemory:N0} timers, {(double)bytes / timers:N1} "
            + $"bytes of memory each, {timers / seconds:N0} added a second"));
        watch.Restart();
        var taken = wheel.Take(now + bucketMs / 100, int.MaxValue).Count;
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"wheel: {taken:N0} due, {taken / watch.Elapsed.TotalSeconds:N0} taken a second"));
    }

    private static async Task<double> ScheduleAsync(LocalBroker broker, int records, int inFlight, Func<int, DateTimeOffset> at)
    {
        var schedules = ((IBroker)broker).Schedules;
        var value = new byte[100];
        var watch = Stopwatch.StartNew();
        await Parallel.ForEachAsync(Enumerable.Range(0, records), new ParallelOptions { MaxDegreeOfParallelism = inFlight },
            async (number, ended) => await schedules.CreateAsync(new NewSchedule(Topic)
            {
                At = at(number),
                Key = BitConverter.GetBytes(number),
                Value = value,
            }, ended));
        return records / watch.Elapsed.TotalSeconds;
    }

    private static async Task MeasureDueAsync(LocalBroker broker, int due, int partitions, int inFlight)
    {
        var before = await CountAsync(broker, partitions);
        // Late enough that all of them are scheduled before.
        var at = DateTimeOffset.UtcNow.AddSeconds(10 + due / 2_000);
        await ScheduleAsync(broker, due, inFlight, number => at.AddMilliseconds(number % 1_000));
        if (DateTimeOffset.UtcNow > at)
            throw new InvalidOperationException("They were not scheduled before they were due. Give fewer: --due.");
        var process = Process.GetCurrentProcess();
        await Task.Delay(at - DateTimeOffset.UtcNow);
        var cpu = process.TotalProcessorTime;
        while (await CountAsync(broker, partitions) - before < due)
            await Task.Delay(ReadInterval);
        var last = DateTimeOffset.UtcNow - at;
        process.Refresh();
        var cost = (process.TotalProcessorTime - cpu).TotalMicroseconds / due;
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"due: {due:N0} within a second, the last is in its topic "
            + $"{last.TotalSeconds:N2} s after the first is due, {cost:N1} us of CPU each"));
    }

    private static async Task<long> CountAsync(LocalBroker broker, int partitions)
    {
        var records = 0L;
        for (var partition = 0; partition < partitions; partition++)
            records += (await broker.FindOffsetAsync(new TopicPartition(Topic, partition), OffsetSpec.Latest)).Offset;
        return records;
    }
}
