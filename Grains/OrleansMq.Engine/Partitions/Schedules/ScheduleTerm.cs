using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Partitioning;
using OrleansMq.Records;
using OrleansMq.Schedules;

namespace OrleansMq.Partitions.Schedules;

/// <summary>
/// The schedules of one leadership. It is loaded from the log, then carries out what the service asks for, outside the turns.
/// </summary>
internal sealed class ScheduleTerm(PartitionSchedules owner, Leadership leadership)
{
    private readonly CancellationTokenSource _end = new();
    private readonly Dictionary<long, TaskCompletionSource<ScheduleOutcome>> _requests = [];
    private ScheduleService? _service;
    private SchedulePublisher? _publisher;
    private ScheduleTopics? _topics;
    private ScheduleRefusals? _refusals;
    private WakeSchedule? _wake;
    private long _request;
    private long _dropped;

    private Partition Partition => owner.Partition;

    /// <summary>The leadership.</summary>
    public Leadership Leadership { get; } = leadership;

    /// <summary>The schedules; null while they are loaded.</summary>
    public ScheduleState? State => _service?.State;

    /// <summary>The topics that refuse records; null while the schedules are loaded.</summary>
    public ScheduleRefusals? Refusals => _refusals;

    /// <summary>How long until the service asked for a tick, in milliseconds; <see cref="long.MaxValue"/>: it did not.</summary>
    public long WakeIn(ScheduleTime time) => _wake is not { } wake ? long.MaxValue
        : Math.Min(Left(wake.DueAt, time.Now), Left(wake.RetryAt, time.Elapsed));

    /// <summary>The requests that are not answered.</summary>
    public int Requests => _requests.Count;

    /// <summary>Begins to load.</summary>
    public void Begin() => Start(LoadAsync);

    /// <summary>Finds the handle of a schedule, also of one that is being stored.</summary>
    /// <param name="id">Its id.</param>
    /// <param name="handle">The handle.</param>
    /// <param name="isEnding">Whether it is being cancelled.</param>
    public bool TryFind(Guid id, out ScheduleHandle handle, out bool isEnding) => _service!.TryFind(id, out handle, out isEnding);

    /// <summary>Whether a record was appended and is remembered, or was decided to be appended.</summary>
    public bool WasDecided(ScheduleHandle handle) => State!.IsAppended(handle) || _service!.IsIntended(handle);

    /// <summary>Schedules a record. A bug that the service meets here stops the partition: it is not the caller's.</summary>
    public Task<ScheduleOutcome> ScheduleAsync(ScheduleHandle handle, byte[] payload) =>
        SendAsync(id => new ScheduleRequest(id, handle, payload));

    /// <summary>Cancels a record.</summary>
    public Task<ScheduleOutcome> CancelAsync(ScheduleHandle handle) => SendAsync(id => new CancelRequest(id, handle));

    /// <summary>Sends a tick, if it is time.</summary>
    public void Tick()
    {
        if (WakeIn(owner.ReadTime()) > 0)
            return;
        _wake = null;
        Send(new ScheduleTick());
    }

    private static long Left(long at, long now) => at == long.MaxValue ? long.MaxValue : at - now;

    /// <summary>Ends the leadership: the outcome of every request is unclear.</summary>
    public void End()
    {
        _end.Cancel();
        foreach (var request in _requests.Values)
            request.TrySetResult(ScheduleOutcome.Unclear);
        _requests.Clear();
        owner.Count(0, 0);
    }

    private Task<ScheduleOutcome> SendAsync(Func<long, ScheduleCommand> command)
    {
        var answer = new TaskCompletionSource<ScheduleOutcome>(TaskCreationOptions.RunContinuationsAsynchronously);
        _requests.Add(++_request, answer);
        Send(command(_request));
        return answer.Task;
    }

    private void Send(ScheduleCommand command)
    {
        if (_end.IsCancellationRequested)
            return;
        Do(_service!.Process(command, owner.ReadTime()));
        Count();
    }

    private void Count()
    {
        owner.Count(State!.Timers.InMemory, _service!.Dropped - _dropped);
        _dropped = _service.Dropped;
    }

    private void Do(IReadOnlyList<ScheduleEffect> effects)
    {
        foreach (var effect in effects)
        {
            switch (effect)
            {
                case AppendScheduleRecords append:
                    Start(() => AppendAsync(append));
                    break;
                case ReadScheduleTargets read:
                    Start(() => ReadTargetsAsync(read));
                    break;
                case FindMissingTopics find:
                    Start(() => FindMissingAsync(find));
                    break;
                case ConfirmMissingTopics confirm:
                    Start(() => ConfirmMissingAsync(confirm));
                    break;
                case PublishIntent publish:
                    Start(() => PublishAsync(publish.Intent));
                    break;
                case ScheduleAnswer answer:
                    if (_requests.Remove(answer.RequestId, out var request))
                        request.TrySetResult(answer.Outcome);
                    break;
                case WakeSchedule wake:
                    _wake = wake;
                    break;
            }
        }
    }

    // A record that is missing or of a later version stops the partition here: another broker may lead it. After the leadership, records
    // may be gone.
    private void Start(Func<Task> work) => _ = Task.Run(async () =>
    {
        try
        {
            await work().ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (_end.IsCancellationRequested)
        {
        }
        catch (Exception fault)
        {
            if (!_end.IsCancellationRequested && ReferenceEquals(Partition.Replication.Leadership, Leadership))
                Partition.GoOffline($"The schedules of {Partition.TopicPartition} cannot go on: {fault.Message}", fault);
        }
    });

    private void Post(ScheduleCommand command) => owner.Post(() => Send(command));

    private async Task LoadAsync()
    {
        // What earlier leaders appended is in force when the high watermark has passed it.
        var end = Partition.LogEndOffset;
        while (Partition.HighWatermark < end || !Partition.Replication.KnowsLatest || Partition.Ports.Broker is null)
            await PauseAsync().ConfigureAwait(false);
        var broker = Partition.Ports.Broker();
        var state = await RepeatAsync(() => Task.FromResult(ScheduleLog.ReadState(Partition, _end.Token))).ConfigureAwait(false);
        owner.Post(() => Serve(state, broker));
    }

    private void Serve(ScheduleState state, IBroker broker)
    {
        if (_end.IsCancellationRequested)
            return;
        _topics = new ScheduleTopics(broker, owner.Time);
        _refusals = new ScheduleRefusals(broker, owner.Time);
        _publisher = new SchedulePublisher(Partition, broker, _topics, _refusals);
        _service = new ScheduleService(state, new ScheduleOptions(), ScheduleRules.Shipped, Random.Shared.NextInt64(1, long.MaxValue));
        Do(_service.Begin(owner.ReadTime()));
        Count();
        owner.Loaded();
    }

    private async Task AppendAsync(AppendScheduleRecords append)
    {
        var first = await AppendAsync(append.Records).ConfigureAwait(false);
        Post(new ScheduleRecordsInForce(append.Number, first));
    }

    // Appends a batch; completes when it is in force. A batch that was not written is appended again.
    private async Task<long> AppendAsync(IReadOnlyList<ScheduleRecord> records)
    {
        var copies = await RepeatAsync(() => Task.FromResult(ReadCopies(records))).ConfigureAwait(false);
        using var builder = new RecordBatchBuilder();
        foreach (var record in records)
        {
            var value = record.Copied is { Timer: var timer } ? copies[timer] : record.Value;
            builder.Add(owner.Now, record.Key, hasKey: true, value.GetValueOrDefault().Span, value.HasValue);
        }
        var batch = builder.Build();
        while (true)
        {
            var append = new EpochAppend(Leadership.Epoch);
            var result = await Partition.Appends.AppendControlAsync(batch, append).ConfigureAwait(false);
            if (result.Error == ErrorCode.None)
                return result.BaseOffset;
            while (append.Offset >= 0)
            {
                if (Partition.HighWatermark >= append.Offset + records.Count)
                    return append.Offset;
                await PauseAsync().ConfigureAwait(false);
            }
            await PauseAsync().ConfigureAwait(false);
        }
    }

    // A copied record is due, and not removed before this batch is in force: the log has it.
    private Dictionary<ScheduledTimer, ReadOnlyMemory<byte>?> ReadCopies(IReadOnlyList<ScheduleRecord> records)
    {
        ScheduledTimer[] timers = [.. records.Select(record => record.Copied).OfType<CopiedPayload>().Select(copied => copied.Timer)];
        var copies = new Dictionary<ScheduledTimer, ReadOnlyMemory<byte>?>(timers.Length);
        if (timers.Length > 0)
            ScheduleLog.ReadValues(Partition, timers, (index, value) => copies[timers[index]] = value?.ToArray()
                ?? throw SchedulePublisher.Lost(timers[index]));
        return copies;
    }

    private async Task ReadTargetsAsync(ReadScheduleTargets read)
    {
        var payloads = new (string? Topic, Guid TopicId, int Partition, int Hash, int Bytes, Repeated Next, bool IsRefused)[
            read.Timers.Count];
        var limits = await _refusals!.FindAsync(read.Timers.Select(timer => timer.TopicId), _end.Token).ConfigureAwait(false);
        await RepeatAsync(() =>
        {
            ScheduleLog.ReadPayloads(Partition, read.Timers, (index, payload) => payloads[index] = payload is null ? default
                : (payload.Topic, payload.TopicId, payload.Partition, payload.Key is { } key ? Murmur2Partitioner.Hash(key.Span)
                    : read.Timers[index].Handle.Id.GetHashCode(),
                    (payload.Repeats ? payload.EncodedBytes : (int)payload.ContentBytes) + BytesPerRecord,
                    NextOf(payload, read.Timers[index].Handle.Due, read.Now), IsRefused(payload, limits)));
            return Task.FromResult(true);
        }).ConfigureAwait(false);
        var topics = new Dictionary<Guid, (bool IsKnown, TopicListing? Topic)>();
        await Task.WhenAll(payloads.Where(payload => payload.Topic is not null).GroupBy(payload => (payload.Topic, payload.TopicId))
            .ToList().ConvertAll(async topic =>
            {
                var found = await LookUpAsync(topic.Key.Topic!, topic.Key.TopicId, topic.Max(payload => payload.Partition) + 1)
                    .ConfigureAwait(false);
                lock (topics)
                    topics[topic.Key.TopicId] = found;
            })).ConfigureAwait(false);
        var targets = Array.ConvertAll(payloads, payload =>
        {
            if (payload.Topic is null)
                return default;
            var (isKnown, topic) = topics[payload.TopicId];
            if (!isKnown || (topic is not null && payload.Next.IsUnknown))
                return new FoundTarget(payload.TopicId, null) { IsUnknown = true, Zone = payload.Next.Zone };
            if (topic is not null && payload.IsRefused)
                return new FoundTarget(payload.TopicId, null) { IsUnknown = true, IsRefused = true };
            if (topic is not null && payload.Partition < topic.Partitions)
                return new FoundTarget(payload.TopicId, new ScheduleTarget(payload.TopicId, payload.Partition >= 0 ? payload.Partition
                    : (payload.Hash & int.MaxValue) % topic.Partitions), payload.Bytes)
                { NextDue = payload.Next.Due, Zone = payload.Next.Zone };
            if (topic is not null)
            {
                Warn($"A record that was scheduled for '{payload.Topic}' waits: partition {payload.Partition} is not known yet.", null);
                return new FoundTarget(payload.TopicId, null) { IsUnknown = true, Zone = payload.Next.Zone };
            }
            Warn($"The record that was scheduled for '{payload.Topic}' is dropped: the topic was deleted.", null);
            return new FoundTarget(payload.TopicId, null) { Zone = payload.Next.Zone };
        });
        owner.Post(() =>
        {
            // The log of a follower may be cleaned already.
            if (_end.IsCancellationRequested)
                return;
            for (var i = 0; i < targets.Length; i++)
            {
                // One that was cancelled or replaced during the read may be compacted already.
                Invariant.Check(payloads[i].Topic is not null || !State!.Timers.TryGetTaken(read.Timers[i].Handle, out var now)
                    || now.Reference != read.Timers[i].Reference, "The log lost a scheduled record.");
            }
            Send(new ScheduleTargetsRead(read.Number, targets));
        });
    }

    private bool IsRefused(ScheduledPayload payload, IReadOnlyDictionary<Guid, TopicLimits> limits)
    {
        if (limits.GetValueOrDefault(payload.TopicId)?.RefusalOf(payload.Key, payload.Value, payload.Headers) is not { } refusal)
            return false;
        _refusals!.Note(payload.Topic, payload.TopicId);
        Warn($"Schedule '{payload.Id}' of topic '{payload.Topic}' waits, and is tried again: {refusal.Message} "
            + TopicLimits.Remedy(payload.Topic, refusal.Code), null);
        return true;
    }

    // A time zone or an expression that this broker does not know keeps its records waiting: those that repeat would end otherwise.
    private Repeated NextOf(ScheduledPayload payload, long due, long now)
    {
        if (!payload.Repeats)
            return default;
        try
        {
            var next = Repetition.Parse(payload.Cron, payload.TimeZone).NextAfter(Math.Max(due, now));
            if (now - due > LateMs)
                Warn($"Schedule '{payload.Id}' of topic '{payload.Topic}' fires late: it was due at {At(due)}, the clock says {At(now)}, "
                    + $"and it fires next at {(next is { } some ? At(some) : "no time")}. Where the clock was ahead, correct it, and "
                    + "cancel and create the schedule: it waits until then.", null);
            return new Repeated(next, payload.TimeZone);
        }
        catch (FormatException fault)
        {
            Warn($"Schedule '{payload.Id}' of topic '{payload.Topic}' waits: {fault.Message}", fault);
            // Where the zone is known the expression is not, of a later version: those of the zone that go on tell nothing of it.
            return new Repeated(null, Repetition.IsZoneKnown(payload.TimeZone) ? UnknownExpression : payload.TimeZone, IsUnknown: true);
        }
    }

    private static string At(long time) => DateTimeOffset.FromUnixTimeMilliseconds(time).ToString("O", CultureInfo.InvariantCulture);

    // A firing that is later than this is told: an outage, or a clock that is ahead.
    private const long LateMs = 3_600_000;

    // In the place of a zone; it is none.
    private const string UnknownExpression = "*";

    private readonly record struct Repeated(long? Due, string? Zone, bool IsUnknown = false);

    private async Task FindMissingAsync(FindMissingTopics find)
    {
        await WarnOfFewReplicasAsync().ConfigureAwait(false);
        var listed = new HashSet<Guid>();
        try
        {
            listed.UnionWith(await _topics!.ListAsync(_end.Token).ConfigureAwait(false));
        }
        catch (Exception fault) when (!_end.IsCancellationRequested)
        {
            Warn($"Deleted topics cannot be told now: {fault.Message}", fault);
            listed.UnionWith(find.TopicIds);
        }
        Post(new MissingTopicsFound(find.TopicIds.Where(topic => !listed.Contains(topic)).ToHashSet()));
    }

    // The replicas are those of the brokers that were there when the topic was made. Each sweep says once where there are more by now.
    private async Task WarnOfFewReplicasAsync()
    {
        var (topic, number) = Partition.TopicPartition;
        try
        {
            if (await _topics!.FindReplicasAsync(topic, number, _end.Token).ConfigureAwait(false) is not { } few)
                return;
            Partition.Ports.EngineLog.Write(EngineLogLevel.Warning, $"Schedules of {Partition.TopicPartition} have {few.Replicas} "
                + $"replicas, though the cluster has {few.Brokers} brokers: it had fewer when the topic was made. Add some: omq partition "
                + $"reassign {topic} {number} --replicas with {few.Wanted} brokers.");
        }
        catch (Exception fault) when (!_end.IsCancellationRequested)
        {
            Warn($"their replicas cannot be counted now: {fault.Message}", fault);
        }
    }

    private async Task ConfirmMissingAsync(ConfirmMissingTopics confirm)
    {
        var names = await RepeatAsync(() =>
        {
            var names = new Dictionary<Guid, string>();
            ScheduleLog.ReadPayloads(Partition, confirm.Timers, (_, payload) =>
            {
                if (payload is not null)
                    names[payload.TopicId] = payload.Topic;
            }, _end.Token);
            return Task.FromResult(names);
        }).ConfigureAwait(false);
        var gone = new HashSet<Guid>();
        foreach (var (topicId, name) in names)
        {
            try
            {
                if (!await _topics!.IsGoneAsync(name, topicId, _end.Token).ConfigureAwait(false))
                    continue;
                gone.Add(topicId);
                Warn($"The records that were scheduled for '{name}' are dropped: the topic was deleted.", null);
            }
            catch (Exception fault) when (!_end.IsCancellationRequested)
            {
                Warn($"Whether topic '{name}' was deleted cannot be told now: {fault.Message}", fault);
            }
        }
        Post(new MissingTopicsConfirmed(gone));
    }

    // Whatever keeps a topic from being looked up concerns its own records only: they wait.
    private async Task<(bool IsKnown, TopicListing? Topic)> LookUpAsync(string name, Guid topicId, int partitions)
    {
        try
        {
            return (true, await _topics!.FindAsync(name, topicId, partitions, _end.Token).ConfigureAwait(false));
        }
        catch (Exception fault) when (!_end.IsCancellationRequested)
        {
            Warn($"Records that were scheduled for '{name}' wait: {fault.Message}", fault);
            return default;
        }
    }

    // What a record takes in a batch beside its content, generously.
    private const int BytesPerRecord = 64;

    private async Task PublishAsync(ScheduleIntent intent)
    {
        var name = await RepeatAsync(() => Task.FromResult(_publisher!.TopicOf(intent))).ConfigureAwait(false);
        // Looked up before the records are read: those of a target that is away take no memory.
        var (isKnown, topic) = await LookUpAsync(name, intent.Target.TopicId, intent.Target.Partition + 1).ConfigureAwait(false);
        RefusedRecord? refused = null;
        var outcome = isKnown && topic is null ? PublishOutcome.TargetGone : PublishOutcome.Unknown;
        if (topic is not null && !Partition.Ports.SchedulePublishes.IsUnanswered(intent.Target))
            (outcome, refused) = await AppendAsync(intent).ConfigureAwait(false);
        if (outcome == PublishOutcome.TargetGone)
            Warn($"{intent.Timers.Count} records that were scheduled for '{name}' are dropped: the topic was deleted.", null);
        Post(new IntentAnswered(intent.Target, intent.FirstSequence, outcome) { Refused = refused });
    }

    private async Task<(PublishOutcome Outcome, RefusedRecord? Refused)> AppendAsync(ScheduleIntent intent)
    {
        using var place = await Partition.Ports.SchedulePublishes.EnterAsync(_end.Token).ConfigureAwait(false);
        var payloads = await RepeatAsync(() => Task.FromResult(_publisher!.Read(intent))).ConfigureAwait(false);
        try
        {
            return await _publisher!.PublishAsync(intent, payloads, _end.Token).ConfigureAwait(false);
        }
        catch (Exception fault) when (!_end.IsCancellationRequested)
        {
            // Whatever keeps a target from answering concerns its own records only: they are tried again.
            Warn($"Records that were scheduled for '{payloads[0].Topic}' could not be appended; they are tried again: {fault.Message}",
                fault);
            return (PublishOutcome.Unknown, null);
        }
    }

    private void Warn(string message, Exception? fault) => Partition.Ports.FailedSchedules.Write(EngineLogLevel.Warning,
        $"Schedules of {Partition.TopicPartition}: {message}", fault);

    private async Task<T> RepeatAsync<T>(Func<Task<T>> work)
    {
        while (true)
        {
            _end.Token.ThrowIfCancellationRequested();
            try
            {
                return await work().ConfigureAwait(false);
            }
            catch (Exception fault) when (IsPassing(fault) && !_end.IsCancellationRequested)
            {
                Warn($"they wait: {fault.Message}", fault);
            }
            await PauseAsync().ConfigureAwait(false);
        }
    }

    private bool IsPassing(Exception fault)
    {
        if (!StorageFaults.IsStorageFault(fault))
            return fault is BrokerException or TimeoutException;
        Partition.NoteUnreadable(fault);
        return true;
    }

    private Task PauseAsync() => Task.Delay(PartitionSchedules.RetryInterval, owner.Time, _end.Token);

    private sealed class EpochAppend(int epoch) : IControlAppend
    {
        private long _offset = -1;

        public int Epoch => epoch;
        public long Offset => Volatile.Read(ref _offset);
        public void OnWritten(long offset) => Volatile.Write(ref _offset, offset);
    }
}
