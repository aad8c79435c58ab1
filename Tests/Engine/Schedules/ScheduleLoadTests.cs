using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Partitions;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Engine.Schedules;

/// <summary>Many schedules in a broker of one process.</summary>
public sealed class ScheduleLoadTests(ITestOutputHelper output)
{
    [Fact]
    public async Task Fifty_thousand_schedules_of_one_second_are_appended_once_also_after_a_restart()
    {
        const int Count = 50_000;
        var clock = new ManualClock();
        var options = new BrokerOptions
        {
            DataDirectory = "/data",
            FileSystem = new MemoryFileSystem(tracksPowerCuts: false),
            TimeProvider = clock,
            MinFreeBytes = 0,
        };
        var watch = System.Diagnostics.Stopwatch.StartNew();
        await using (var broker = await LocalBroker.OpenAsync(options))
        {
            await broker.CreateTopicAsync(new NewTopic("orders", 4));
            var at = clock.GetUtcNow().AddMinutes(1);
            await Parallel.ForEachAsync(Enumerable.Range(0, Count), new ParallelOptions { MaxDegreeOfParallelism = 512 },
                async (i, stop) => await broker.Schedules.CreateAsync(new NewSchedule("orders")
                {
                    At = at.AddMilliseconds(i % 1_000),
                    Value = new byte[100],
                }, stop));
        }
        var stored = watch.Elapsed;
        watch.Restart();
        await using var next = await LocalBroker.OpenAsync(options);
        Assert.NotEmpty((await next.Schedules.ListAsync(new ScheduleQuery())).Schedules);
        var opened = watch.Elapsed;
        watch.Restart();
        clock.Advance(TimeSpan.FromMinutes(2));
        while (await CountAsync(next) < Count)
        {
            Assert.True(watch.Elapsed < TimeSpan.FromSeconds(60), $"{await CountAsync(next)} of {Count} in {watch.Elapsed}.");
            await Task.Delay(5);
            // What ran while the clock was set may be tried again.
            clock.Advance(TimeSpan.FromMilliseconds(5));
        }
        var appended = watch.Elapsed;
        await Wait.UntilAsync(async () =>
        {
            // As above.
            clock.Advance(TimeSpan.FromMilliseconds(5));
            return (await next.Schedules.ListAsync(new ScheduleQuery())).Schedules.Count == 0;
        }, TimeSpan.FromSeconds(60));
        Assert.Equal(Count, await CountAsync(next));
        output.WriteLine($"{Count} schedules: stored in {stored}, loaded in {opened}, appended in {appended}.");
    }

    private static async Task<long> CountAsync(LocalBroker broker)
    {
        var count = 0L;
        for (var partition = 0; partition < 4; partition++)
            count += (await broker.FindOffsetAsync(new TopicPartition("orders", partition), OffsetSpec.Latest)).Offset;
        return count;
    }
}
