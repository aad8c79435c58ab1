using System.Diagnostics;
using System.Text;
using OrleansMq.Api;
using OrleansMq.Tests.Chaos.Running;
using OrleansMq.Tests.Chaos.Runs;
using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.Queues.Schedules;

/// <summary>Schedules records for a plain topic while brokers fail, some once, some of them cancelled, some again and again.</summary>
/// <param name="cluster">The brokers.</param>
/// <param name="any">One random broker, without failover.</param>
/// <param name="patient">The cluster, while no fault is active.</param>
/// <param name="history">Receives what is scheduled and cancelled.</param>
/// <param name="seed">Decides times, and what is cancelled.</param>
internal sealed class ScheduleLoad(RunningCluster cluster, Func<IBroker> any, IBroker patient, ScheduleHistory history, int seed)
{
    public const string Topic = "firings";

    private const string Schedules = "__schedules";
    private const int Partitions = 2;
    private const int MostWaiting = 200;
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(8);
    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private static readonly (string Id, string Cron, long Period)[] Crons =
    [
        ("each-1", "* * * * * *", 1_000), ("each-2", "*/2 * * * * *", 2_000), ("each-3", "*/3 * * * * *", 3_000),
        ("each-4", "*/4 * * * * *", 4_000), ("each-5", "*/5 * * * * *", 5_000), ("each-6", "*/6 * * * * *", 6_000),
    ];

    /// <summary>The topic: its leaders stamp the time of each append.</summary>
    public static NewTopic ToNewTopic() =>
        new(Topic, Partitions, 3, new Dictionary<string, string> { ["message.timestamp.type"] = "LogAppendTime" });

    /// <summary>Makes the schedules that repeat.</summary>
    public async Task BeginAsync(CancellationToken cancellationToken)
    {
        foreach (var (id, cron, period) in Crons)
        {
            history.Repeat(id, period);
            await CreateAsync(new NewSchedule(Topic) { Id = id, Cron = cron, Value = Encoding.UTF8.GetBytes(id) }, () => patient,
                cancellationToken);
        }
    }

    /// <summary>Schedules records until it is stopped, then waits for the answers.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        var random = new Random(seed);
        var waiting = new List<Task>();
        for (var number = 0; !stop.IsCancellationRequested; number++)
        {
            await Task.Delay(Tick, CancellationToken.None);
            waiting.RemoveAll(static task => task.IsCompletedSuccessfully);
            if (waiting.Find(static task => task.IsFaulted) is { } faulted)
                await faulted;
            if (waiting.Count < MostWaiting)
                waiting.Add(OneAsync($"once-{number}", (random.NextDouble() * 1.1 - 0.1) * Longest,
                    random.Next(3) == 0 ? random.NextDouble() * 1.1 : null));
        }
        await Task.WhenAll(waiting);
    }

    private async Task OneAsync(string id, TimeSpan ahead, double? cancelled)
    {
        var at = DateTimeOffset.FromUnixTimeMilliseconds((DateTimeOffset.UtcNow + ahead).ToUnixTimeMilliseconds());
        history.Schedule(id, at.ToUnixTimeMilliseconds());
        var attempts = await CreateAsync(new NewSchedule(Topic) { Id = id, At = at, Value = Encoding.UTF8.GetBytes(id) }, any,
            CancellationToken.None);
        history.Stored(id);
        // An earlier attempt may still be under way, and would schedule the record anew behind the cancellation.
        if (cancelled is not { } when || attempts > 1)
            return;
        var left = (at - DateTimeOffset.UtcNow) * when;
        if (left > TimeSpan.Zero)
            await Task.Delay(left);
        history.Cancelling(id);
        try
        {
            if (await any().Schedules.CancelAsync(Topic, id))
                history.Cancelled(id);
        }
        catch (BrokerException unclear) when (unclear.Action == ErrorAction.Retry)
        {
            // It may be cancelled or not.
        }
    }

    // Repeats until there is an answer: the id makes it one schedule.
    private static async Task<int> CreateAsync(NewSchedule schedule, Func<IBroker> broker, CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await broker().Schedules.CreateAsync(schedule, cancellationToken);
                return attempt;
            }
            catch (BrokerException retried) when (retried.Action == ErrorAction.Retry)
            {
                await Task.Delay(RetryPause, cancellationToken);
            }
        }
    }

    /// <summary>Waits until everything has come and every schedule that repeats has fired again, ends those, and reads both logs.</summary>
    public async Task EndAsync(CancellationToken cancellationToken)
    {
        var calm = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
        var reader = new TopicReader(patient, Topic, Partitions);
        await UntilAsync("records that were scheduled have not come", reader, () => Task.FromResult(history.Missing(calm)),
            cancellationToken);
        foreach (var (id, _, _) in Crons)
        {
            while (await patient.Schedules.FindAsync(Topic, id, cancellationToken) is not null)
                await patient.Schedules.CancelAsync(Topic, id, cancellationToken);
        }
        // A firing that was decided before is still appended.
        await UntilAsync("firings that were decided are not in the topic as often", reader, async () =>
        {
            await ReadDecisionsAsync(cancellationToken);
            return history.Pending();
        }, cancellationToken);
        // What comes twice may come late.
        await Task.Delay(TimeSpan.FromSeconds(2), cancellationToken);
        await ReadAsync(reader, cancellationToken);
    }

    private async Task UntilAsync(string what, TopicReader reader, Func<Task<IReadOnlyList<string>>> left,
        CancellationToken cancellationToken)
    {
        for (var (least, progress) = (int.MaxValue, Stopwatch.StartNew()); ;)
        {
            await ReadAsync(reader, cancellationToken);
            var some = await left();
            // The judgement tells what is missing.
            if (some.Count == 0 || progress.Elapsed > Patience)
                return;
            if (some.Count < least)
                (least, progress) = (some.Count, Stopwatch.StartNew());
            if (progress.Elapsed > Patience / 2)
                cluster.Log.Tell($"{some.Count} {what}: {string.Join("; ", some.Take(5))}");
            await Task.Delay(500, cancellationToken);
        }
    }

    private Task ReadAsync(TopicReader reader, CancellationToken cancellationToken) =>
        reader.ReadAsync((_, record) => history.Take(Encoding.UTF8.GetString(record.Value.GetValueOrDefault().Span), record.Timestamp),
            cancellationToken);

    private async Task ReadDecisionsAsync(CancellationToken cancellationToken)
    {
        var topic = await patient.GetTopicAsync(Topic, cancellationToken);
        // A partition may have no leader for a moment after the last fault.
        var partitions = await new ClusterView(patient, Schedules, 3).WellAsync(Patience, cancellationToken);
        history.BeginDecisions();
        foreach (var partition in partitions)
            DecidedFirings.Read(Path.Combine(cluster[partition.Leader].Data, "logs", $"{Schedules}-{partition.Partition}"), topic.TopicId,
                history);
    }
}
