using OrleansMq.Tests.Cluster.Catalogue;
using OrleansMq.Tests.OrleansPackages.Consumers;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.Timers;
using Xunit.Abstractions;

namespace OrleansMq.Tests.OrleansPackages.Timers;

/// <summary>Durable timers on three silos: while one is lost no message is missing, none that was cancelled comes, and effects in grain
/// state happen once.</summary>
public sealed class TimerFailoverTests(PostgreSqlFixture postgres, ITestOutputHelper output) : ReplicatedClusterTests(postgres)
{
    private const int Grains = 12;
    private const int Each = 30;

    private protected override void ConfigureSilo(ISiloBuilder silo)
    {
        SharedStorage.AddTo(silo);
        silo.AddOrleansMqTimers(static options => options with
        {
            Partitions = 3,
            RetryDelay = TimeSpan.FromMilliseconds(50),
            MaxRetryDelay = TimeSpan.FromSeconds(1),
            RefreshInterval = TimeSpan.FromMilliseconds(200),
            SessionTimeout = TimeSpan.FromSeconds(5),
        });
    }

    [SkippableTheory]
    [InlineData("grain-timers")]
    [InlineData("__schedules")]
    public async Task Silo_that_is_killed_in_the_middle_loses_no_timer_and_brings_no_cancelled_one(string topic)
    {
        var prefix = $"killed-{topic}-";
        // The topics are made on first use.
        await TimersOf(1).ScheduleAsync(GrainOf(1, 0), DateTimeOffset.UtcNow.AddDays(1), new Ping(-1), "far");
        await Cluster.UntilInSyncAsync("__schedules");
        await Cluster.UntilInSyncAsync("grain-timers");
        var described = (await Cluster.Broker(1).DescribeTopicAsync("grain-timers")).Partitions;
        Assert.All(described, static partition => Assert.Equal(3, partition.Replicas.Count));
        var victim = (await Cluster.Broker(1).DescribeTopicAsync(topic)).Partitions.GroupBy(static partition => partition.Leader)
            .MaxBy(static led => led.Count())!.Key;
        var (survivor, third) = (1 + (victim % 3), 1 + ((victim + 1) % 3));
        var begin = DateTimeOffset.UtcNow.AddSeconds(4);
        // Half of them by a silo that is lost, half by one that stays.
        await Task.WhenAll(Enumerable.Range(0, Grains).SelectMany(grain => Enumerable.Range(0, Each).Select(number =>
        {
            var from = number % 2 == 0 ? victim : survivor;
            return TimersOf(from).ScheduleAsync(GrainOf(from, grain), begin.AddMilliseconds(number * 150), new Ping(number), $"{number}");
        })));
        await Wait.UntilAsync(() => Enumerable.Range(0, Grains).Sum(grain => Received(grain).Length) >= Grains * Each / 4, "a quarter");
        await Cluster.KillAsync(victim);
        // The last ones are cancelled while leaders fail over.
        var cancelled = new HashSet<(int, int)>();
        for (var grain = 0; grain < Grains; grain++)
        {
            if (await TimersOf(third).CancelAsync(GrainOf(third, grain), $"{Each - 1}"))
                cancelled.Add((grain, Each - 1));
        }
        output.WriteLine($"{cancelled.Count} cancelled");
        await Wait.UntilAsync(async () => (await TimersOf(survivor).ListAsync().ToListAsync()) is [{ Id: "far" }], "all have fired",
            deadline: TimeSpan.FromMinutes(2));
        await Wait.UntilAsync(() => Enumerable.Range(0, Grains).All(grain => Expected(grain).IsSubsetOf(Received(grain))),
            "all are received");
        Assert.All(Enumerable.Range(0, Grains), grain => Assert.True(Expected(grain).SetEquals(Received(grain))));
        await Wait.UntilAsync(async () => (await TalliesAsync()).Index().All(one => one.Item.Length >= Expected(one.Index).Count),
            "every effect is stored");
        Assert.All((await TalliesAsync()).Index(), one => Assert.Equal(Expected(one.Index).Order(), one.Item.Order()));
        await Cluster.DemandEmptyAsync(survivor, "grain-timers.dead-letter");

        HashSet<int> Expected(int grain) => [.. Enumerable.Range(0, Each).Where(number => !cancelled.Contains((grain, number)))];

        int[] Received(int grain) => TimerScript.Received($"{prefix}{grain}");

        IDurableTimers TimersOf(int broker) => Cluster.Get<IDurableTimers>(broker);

        ITimedTallyGrain GrainOf(int broker, int grain) =>
            Cluster.Get<IGrainFactory>(broker).GetGrain<ITimedTallyGrain>($"{prefix}{grain}");

        Task<int[][]> TalliesAsync() => Task.WhenAll(Enumerable.Range(0, Grains).Select(grain => GrainOf(survivor, grain).GetAsync()));
    }
}
