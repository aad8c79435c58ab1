using System.Diagnostics;
using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Records;
using OrleansMq.Tests.Chaos.Faults;
using OrleansMq.Tests.Chaos.Load;
using OrleansMq.Tests.Chaos.Queues.Publishes;
using OrleansMq.Tests.Chaos.Queues.Schedules;
using OrleansMq.Tests.Chaos.Queues.Shares;
using OrleansMq.Tests.Chaos.Running;
using OrleansMq.Tests.Chaos.Runs;
using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.Queues;

/// <summary>Queues under load while silos and consumers are killed, paused and restarted, beside scheduled records and repeated publishes.
/// At the end both queues must be empty, and what the consumers saw and what the topics hold must agree with what was sent.</summary>
internal sealed class QueueRun(RunningCluster cluster, QueueLoad load, int seed) : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);
    private static readonly TimeSpan RequestTimeout = TimeSpan.FromSeconds(4);

    private readonly ClusterClient _client = new(cluster.Addresses, RequestTimeout);
    private readonly FaultInjector _injector = new(cluster);
    private readonly Ledger _ledger = new();
    private int _consumerFaults;

    public Violations Violations { get; } = new();

    /// <summary>Injects faults for a while, waits for recovery, and judges.</summary>
    /// <param name="weights">The relative frequency of each fault of silos.</param>
    /// <param name="length">How long faults are injected.</param>
    /// <param name="cancellationToken">Cancels the run.</param>
    /// <returns>The figures, in one line.</returns>
    public async Task<string> RunAsync(IReadOnlyDictionary<FaultKind, int> weights, TimeSpan length, CancellationToken cancellationToken)
    {
        Violations.Found += violation => cluster.Log.Tell($"VIOLATION {violation}");
        var jobs = new ClusterView(_client.Broker, QueueLoad.Topic, 3);
        var letters = new ClusterView(_client.Broker, QueueLoad.Letters, 3);
        ClusterView[] all = [jobs, letters, .. load.HasSchedulesAndPublishes
            ? new[] { ScheduleLoad.Topic, RepeatedPublishes.Topic }.Select(topic => new ClusterView(_client.Broker, topic, 3)) : []];
        await BeginAsync(cancellationToken);
        await AllWellAsync(all, cancellationToken);

        var history = new QueueHistory(load, _ledger, Violations);
        PartitionHistory[] offsets =
            [.. Enumerable.Range(0, load.Partitions).Select(partition => new PartitionHistory(partition, Violations))];
        var producers = Enumerable.Range(0, load.Records.Producers)
            .Select(_ => new LoadProducer(_client.Broker, load.Records, _ledger, offsets)).ToArray();
        await using var fleet = new QueueFleet(cluster, load, history);
        var shared = new ShareHistory(_ledger, Violations);
        await using var members = new ShareFleet(cluster, load.ShareConsumers, shared);
        var published = new PublishHistory(Violations);
        var publishes = new RepeatedPublishes(_client.Any, published, seed);
        var scheduled = new ScheduleHistory(Violations);
        var schedules = new ScheduleLoad(cluster, _client.Any, _client.Patient, scheduled, seed);
        using var stop = new CancellationTokenSource();
        if (load.HasSchedulesAndPublishes)
            await schedules.BeginAsync(cancellationToken);
        members.Start();
        await ShareBeginsAsync(shared, cancellationToken);
        cluster.Log.Tell($"seed {seed}: load begins");
        var producing = Task.WhenAll(producers.Select(producer => Task.Run(() => producer.RunAsync(stop.Token), CancellationToken.None)));
        var others = load.HasSchedulesAndPublishes
            ? Task.WhenAll(Task.Run(() => schedules.RunAsync(stop.Token), CancellationToken.None),
                Task.Run(() => publishes.RunAsync(stop.Token), CancellationToken.None)) : Task.CompletedTask;
        fleet.Start();
        using (var time = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken))
        {
            time.CancelAfter(length);
            await Task.WhenAll(OrEndAsync(BreakSilosAsync(jobs, letters, weights, history, time.Token, cancellationToken), time),
                OrEndAsync(BreakConsumersAsync(fleet, time.Token), time), OrEndAsync(BreakMembersAsync(members, time.Token), time));
        }
        cluster.Log.Tell("calm");
        await stop.CancelAsync();
        await producing.WaitAsync(load.Records.DeliveryTimeout + TimeSpan.FromSeconds(30), cancellationToken);
        await others.WaitAsync(Patience, cancellationToken);
        Assert.Null(publishes.Refused);
        await AllWellAsync(all, cancellationToken);
        if (load.HasSchedulesAndPublishes)
            await schedules.EndAsync(cancellationToken);
        await AllSettledAsync(history, cancellationToken);
        await AllSharedAsync(shared, cancellationToken);
        await fleet.StopAsync();
        var read = await LettersAsync(cancellationToken);
        history.Judge(read);
        shared.Judge();
        if (load.HasSchedulesAndPublishes)
        {
            await new TopicReader(_client.Patient, RepeatedPublishes.Topic, RepeatedPublishes.Partitions).ReadAsync((partition, record) =>
                published.Take(partition, record.Offset, record.Value), cancellationToken);
            published.Judge();
            scheduled.Judge();
        }
        await SegmentsGoAsync(cancellationToken);
        cluster.Log.Tell($"{scheduled.Scheduled} records scheduled, {scheduled.CancelledCount} cancelled, {scheduled.Firings} firings of "
            + $"those that repeat; {published.Count} message ids, {published.Repeated} publishes of known ones; {history.Deferred} "
            + "deliveries of deferred records");
        var figures = Figures(history, shared, read.Count);
        Assert.Empty(fleet.Failures.Concat(members.Failures));
        Assert.True(producers.Sum(static producer => producer.Failed) == 0,
            string.Join('\n', producers.Select(static producer => producer.FirstFailure)));
        return figures;
    }

    private static async Task AllWellAsync(IEnumerable<ClusterView> views, CancellationToken cancellationToken)
    {
        foreach (var view in views)
            await view.WellAsync(Patience, cancellationToken);
    }

    public void Dispose() => _client.Dispose();

    private async Task BeginAsync(CancellationToken cancellationToken)
    {
        await _client.Patient.CreateTopicAsync(load.ToNewTopic(), cancellationToken);
        await _client.Patient.CreateTopicAsync(load.ToLettersTopic(), cancellationToken);
        if (load.HasSchedulesAndPublishes)
        {
            await _client.Patient.CreateTopicAsync(ScheduleLoad.ToNewTopic(), cancellationToken);
            await _client.Patient.CreateTopicAsync(RepeatedPublishes.ToNewTopic(), cancellationToken);
        }
        foreach (var queue in QueueLoad.Queues)
        {
            for (var partition = 0; partition < load.Partitions; partition++)
                await _client.Patient.Queues.CreateAsync(new TopicPartition(QueueLoad.Topic, partition),
                    new NewQueue(queue) { Options = load.OptionsOf(queue) }, cancellationToken);
        }
    }

    // A share group begins at the first record there is: what the queues have settled may be gone by then. So it begins with one record in
    // each partition, before the others come.
    private async Task ShareBeginsAsync(ShareHistory shared, CancellationToken cancellationToken)
    {
        if (load.ShareConsumers == 0)
            return;
        var producer = _ledger.NewProducer(isOrdered: false);
        for (var partition = 0; partition < load.Partitions; partition++)
        {
            var id = _ledger.Send(partition, producer);
            using var builder = new RecordBatchBuilder();
            builder.Add(DateTimeOffset.UtcNow.ToUnixTimeMilliseconds(), default, false, RecordValue.Of(id, RecordValue.MinSize), true);
            var answer = await _client.Patient.ProduceAsync(new TopicPartition(QueueLoad.Topic, partition), builder.Build(), Acks.All,
                cancellationToken);
            Assert.True(answer.Error == ErrorCode.None, answer.Message);
            _ledger.Acknowledge(partition, id, answer.BaseOffset);
        }
        await AllSharedAsync(shared, cancellationToken);
    }

    // A cluster that does not recover ends all faults.
    private static async Task OrEndAsync(Task faults, CancellationTokenSource time)
    {
        try
        {
            await faults;
        }
        catch (Exception)
        {
            await time.CancelAsync();
            throw;
        }
    }

    // Leaders of the queues and of their dead letters, in turns.
    private async Task BreakSilosAsync(ClusterView jobs, ClusterView letters, IReadOnlyDictionary<FaultKind, int> weights,
        QueueHistory history, CancellationToken time, CancellationToken cancellationToken)
    {
        foreach (var fault in FaultPlan.From(seed, weights))
        {
            if (!await TryDelayAsync(fault.Before, time))
                return;
            var view = fault.Choice / load.Partitions % 3 == 0 ? letters : jobs;
            if (await view.TryDescribeAsync(cancellationToken) is not { } partitions)
                continue;
            cluster.Log.Tell($"{fault}; leaders {string.Join(',', partitions.Select(static partition => partition.Leader))}, acknowledged "
                + $"{_ledger.Acknowledged}, delivered {history.Delivered}, settled {history.Settled}");
            await _injector.InjectAsync(fault, partitions, view.IsWell(partitions), cancellationToken);
            if (fault.WaitsForRecovery)
                await jobs.WellAsync(Patience, cancellationToken);
        }
    }

    private async Task BreakConsumersAsync(QueueFleet fleet, CancellationToken time)
    {
        var random = new Random(seed);
        while (await TryDelayAsync(TimeSpan.FromSeconds(0.5 + (3 * random.NextDouble())), time))
        {
            var (choice, pause) = (random.Next(1 << 20), random.NextDouble() * 3 * load.SessionTimeout);
            _consumerFaults++;
            switch (random.Next(5))
            {
                case 0 or 1:
                    await fleet.ReplaceOneAsync(choice, isKill: true);
                    break;
                case 2:
                    await fleet.ReplaceOneAsync(choice, isKill: false);
                    break;
                default:
                    await fleet.PauseOneAsync(choice, pause, CancellationToken.None);
                    break;
            }
        }
    }

    private async Task BreakMembersAsync(ShareFleet members, CancellationToken time)
    {
        var random = new Random(seed + 1);
        while (load.ShareConsumers > 0 && await TryDelayAsync(TimeSpan.FromSeconds(6 + (6 * random.NextDouble())), time))
            await members.ReplaceOneAsync(random.Next(1 << 20));
    }

    private static async Task<bool> TryDelayAsync(TimeSpan time, CancellationToken cancellationToken)
    {
        await Task.Delay(time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return !cancellationToken.IsCancellationRequested;
    }

    /// <summary>Waits until both queues are empty: nothing waits for ever.</summary>
    private async Task AllSettledAsync(QueueHistory history, CancellationToken cancellationToken)
    {
        var (least, progress) = (long.MaxValue, Stopwatch.StartNew());
        while (true)
        {
            var (count, left) = await UnsettledAsync(cancellationToken);
            if (left.Count == 0)
                return;
            // A busy machine is slow, but goes on.
            if (count < least)
                (least, progress) = (count, Stopwatch.StartNew());
            Assert.False(progress.Elapsed > Patience, $"For {Patience.TotalSeconds} s no further record was settled, with "
                + $"{history.Delivered} delivered: {string.Join("; ", left)}");
            await Task.Delay(200, cancellationToken);
        }
    }

    /// <summary>Waits until the share group has accepted or rejected every acknowledged record.</summary>
    private async Task AllSharedAsync(ShareHistory shared, CancellationToken cancellationToken)
    {
        var (least, progress) = (int.MaxValue, Stopwatch.StartNew());
        while (load.ShareConsumers > 0 && shared.Missing(load.Partitions) is { Count: > 0 } missing)
        {
            if (missing.Count < least)
                (least, progress) = (missing.Count, Stopwatch.StartNew());
            Assert.False(progress.Elapsed > Patience, $"For {Patience.TotalSeconds} s the share group, with {shared.Delivered} "
                + $"deliveries, has settled no further one of {missing.Count} records: {string.Join("; ", missing.Take(10))}");
            await Task.Delay(500, cancellationToken);
        }
    }

    private async Task<(long Count, IReadOnlyList<string> Queues)> UnsettledAsync(CancellationToken cancellationToken)
    {
        var (count, left) = (0L, new List<string>());
        foreach (var queue in QueueLoad.Queues)
        {
            for (var number = 0; number < load.Partitions; number++)
            {
                var partition = new TopicPartition(QueueLoad.Topic, number);
                try
                {
                    var described = await _client.Patient.Queues.DescribeAsync(partition, queue, cancellationToken);
                    count += described.Unsettled;
                    if (described.Unsettled > 0)
                        left.Add($"{queue} of {partition}: {described}");
                }
                catch (BrokerException retried) when (retried.Action == ErrorAction.Retry)
                {
                    left.Add($"{queue} of {partition}: {retried.Message}");
                    count = long.MaxValue / 2;
                }
            }
        }
        return (count, left);
    }

    private async Task<List<Letter>> LettersAsync(CancellationToken cancellationToken)
    {
        var letters = new List<Letter>();
        for (var number = 0; number < load.Partitions; number++)
        {
            var partition = new TopicPartition(QueueLoad.Letters, number);
            var end = await EndAsync(partition, OffsetSpec.Latest, cancellationToken);
            for (var next = 0L; next < end;)
            {
                using var fetched = await _client.Patient.FetchAsync(
                    new FetchRequest(partition, next) { MaxWait = TimeSpan.FromSeconds(1) }, cancellationToken);
                Assert.True(fetched.Error == ErrorCode.None || fetched.Error.Action() == ErrorAction.Retry, fetched.Message);
                if (fetched.Error != ErrorCode.None)
                {
                    await Task.Delay(100, cancellationToken);
                    continue;
                }
                using var reader = new RecordReader(fetched.Records, CompressionCodecs.Empty);
                while (reader.MoveNext())
                {
                    next = reader.Current.Offset + 1;
                    var headers = reader.Current.ReadHeaders().ToDictionary(static header => header.Name(),
                        static header => header.TextValue());
                    RecordId? id = reader.Current.Value is { } value && RecordValue.TryRead(value.Span, out var sent) ? sent : null;
                    letters.Add(new Letter(int.Parse(headers[DeadLetterHeaders.Partition]!, CultureInfo.InvariantCulture),
                        long.Parse(headers[DeadLetterHeaders.Offset]!, CultureInfo.InvariantCulture), id));
                }
            }
        }
        return letters;
    }

    /// <summary>Waits until every partition's log begins above its first segment: settled segments are deleted.</summary>
    private async Task SegmentsGoAsync(CancellationToken cancellationToken)
    {
        for (var number = 0; number < load.Partitions; number++)
        {
            var partition = new TopicPartition(QueueLoad.Topic, number);
            using var patience = new CancellationTokenSource(Patience);
            while (await EndAsync(partition, OffsetSpec.Earliest, cancellationToken) == 0)
            {
                Assert.False(patience.IsCancellationRequested, $"Everything is settled in {partition}, and its log begins at 0.");
                await Task.Delay(200, cancellationToken);
            }
        }
    }

    private async Task<long> EndAsync(TopicPartition partition, OffsetSpec end, CancellationToken cancellationToken)
    {
        while (true)
        {
            var found = await _client.Patient.FindOffsetAsync(partition, end, cancellationToken);
            if (found.Error == ErrorCode.None)
                return found.Offset;
            Assert.True(found.Error.Action() == ErrorAction.Retry, $"{partition}, {end}: {found.Message}");
            await Task.Delay(100, cancellationToken);
        }
    }

    private string Figures(QueueHistory history, ShareHistory shared, int letters)
    {
        var faults = string.Join(", ", _injector.Done.OrderBy(static kind => kind.Key).Select(static kind => $"{kind.Value} {kind.Key}"));
        var figures = string.Create(CultureInfo.InvariantCulture, $"figures: seed {seed}; {faults}, {_consumerFaults} of consumers; "
            + $"{_ledger.Acknowledged} records acknowledged, {history.Delivered} deliveries of two queues, ")
            + string.Create(CultureInfo.InvariantCulture, $"{shared.Delivered} of a share group, {letters} dead letters; settled and "
            + $"delivered again {Violations.Count(ViolationKind.SettledAgain)}, lost {Violations.Count(ViolationKind.Lost)}");
        cluster.Log.Tell(figures);
        return figures;
    }
}
