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
    private readonly Dictionary<Guid, (ScheduleHandle Handle, int Count)> _creating = [];
    private ScheduleService? _service;
    private SchedulePublisher? _publisher;
    private long _request;

    private Partition Partition => owner.Partition;

    /// <summary>The leadership.</summary>
    public Leadership Leadership { get; } = leadership;

    /// <summary>The schedules; null while they are loaded.</summary>
    public ScheduleState? State => _service?.State;

    /// <summary>When the service asked for a tick.</summary>
    public long WakeAt { get; private set; } = long.MaxValue;

    /// <summary>The requests that are not answered.</summary>
    public int Requests => _requests.Count;

    /// <summary>Begins to load.</summary>
    public void Begin() => Start(LoadAsync);

    /// <summary>Finds the handle of a schedule, also of one that is being stored.</summary>
    public bool TryFind(Guid id, out ScheduleHandle handle)
    {
        var isKnown = State!.Timers.TryFind(id, out var timer);
        handle = timer.Handle;
        if (isKnown || !_creating.TryGetValue(id, out var creating))
            return isKnown;
        handle = creating.Handle;
        return true;
    }

    /// <summary>Schedules a record.</summary>
    public async Task<ScheduleOutcome> ScheduleAsync(ScheduleHandle handle, byte[] payload)
    {
        _creating[handle.Id] = (handle, _creating.GetValueOrDefault(handle.Id).Count + 1);
        var outcome = await SendAsync(id => new ScheduleRequest(id, handle, payload)).ConfigureAwait(false);
        owner.Post(() =>
        {
            var (creating, count) = _creating[handle.Id];
            if (count > 1)
                _creating[handle.Id] = (creating, count - 1);
            else
                _creating.Remove(handle.Id);
        });
        return outcome;
    }

    /// <summary>Cancels a record.</summary>
    public Task<ScheduleOutcome> CancelAsync(ScheduleHandle handle) => SendAsync(id => new CancelRequest(id, handle));

    /// <summary>Sends a tick, if it is time.</summary>
    public void Tick()
    {
        if (_service is null || WakeAt > owner.Now)
            return;
        WakeAt = long.MaxValue;
        Send(new ScheduleTick());
    }

    /// <summary>Ends the leadership: the outcome of every request is unclear.</summary>
    public void End()
    {
        _end.Cancel();
        foreach (var request in _requests.Values)
            request.TrySetResult(ScheduleOutcome.Unclear);
        _requests.Clear();
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
        if (!_end.IsCancellationRequested)
            Do(_service!.Process(command, owner.Now));
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
                case PublishIntent publish:
                    Start(() => PublishAsync(publish.Intent));
                    break;
                case ScheduleAnswer answer:
                    if (_requests.Remove(answer.RequestId, out var request))
                        request.TrySetResult(answer.Outcome);
                    break;
                case WakeScheduleAt wake:
                    WakeAt = wake.Time;
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
        var broker = Partition.Ports.Broker;
        var state = await RepeatAsync(() => Task.FromResult(ScheduleLog.ReadState(Partition, _end.Token))).ConfigureAwait(false);
        if (state.ProducerId < 0)
        {
            var producer = await RepeatAsync(() => broker.InitProducerIdAsync(_end.Token).AsTask()).ConfigureAwait(false);
            var record = ScheduleRecords.OfProducer(producer.ProducerId);
            state.Apply(await AppendAsync([record]).ConfigureAwait(false), record);
        }
        owner.Post(() => Serve(state, broker));
    }

    private void Serve(ScheduleState state, IBroker broker)
    {
        if (_end.IsCancellationRequested)
            return;
        _publisher = new SchedulePublisher(Partition, broker, state.ProducerId);
        _service = new ScheduleService(state, new ScheduleOptions(), ScheduleRules.Shipped);
        Do(_service.Begin(owner.Now));
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
        using var builder = new RecordBatchBuilder();
        foreach (var record in records)
            builder.Add(owner.Now, record.Key, hasKey: true, record.Value.GetValueOrDefault().Span, record.Value.HasValue);
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

    private async Task ReadTargetsAsync(ReadScheduleTargets read)
    {
        var payloads = new (string? Topic, int Partition, int Hash, int Bytes)[read.Timers.Count];
        await RepeatAsync(() =>
        {
            ScheduleLog.ReadPayloads(Partition, read.Timers, (index, payload) => payloads[index] = payload is null ? default
                : (payload.Topic, payload.Partition, payload.Key is { } key ? Murmur2Partitioner.Hash(key.Span)
                    : read.Timers[index].Handle.Id.GetHashCode(), (int)payload.ContentBytes + BytesPerRecord));
            return Task.FromResult(true);
        }).ConfigureAwait(false);
        var topics = new Dictionary<string, TopicListing?>();
        foreach (var name in payloads.Select(payload => payload.Topic).OfType<string>().Distinct())
            topics[name] = await RepeatAsync(() => SchedulePublisher.FindTopicAsync(Partition.Ports.Broker!, name, Guid.Empty,
                _end.Token)).ConfigureAwait(false);
        var targets = new ScheduleTarget?[payloads.Length];
        for (var i = 0; i < targets.Length; i++)
        {
            var payload = payloads[i];
            if (payload.Topic is null)
                continue;
            if (topics[payload.Topic] is not { } topic || payload.Partition >= topic.Partitions)
                owner.Warn($"The record that was scheduled for '{payload.Topic}' is dropped: the topic was deleted.", null);
            else
                targets[i] = new ScheduleTarget(topic.TopicId, payload.Partition >= 0 ? payload.Partition
                    : (payload.Hash & int.MaxValue) % topic.Partitions);
        }
        owner.Post(() =>
        {
            for (var i = 0; i < targets.Length; i++)
            {
                // One that was cancelled or replaced during the read may be compacted already.
                Invariant.Check(payloads[i].Topic is not null || !State!.Timers.TryGetTaken(read.Timers[i].Handle, out var now)
                    || now.Reference != read.Timers[i].Reference, "The log lost a scheduled record.");
            }
            Send(new ScheduleTargetsRead(read.Number, targets) { Bytes = [.. payloads.Select(payload => payload.Bytes)] });
        });
    }

    // What a record takes in a batch beside its content, generously.
    private const int BytesPerRecord = 64;

    private async Task PublishAsync(ScheduleIntent intent)
    {
        var outcome = PublishOutcome.Unknown;
        try
        {
            outcome = await _publisher!.PublishAsync(intent, _end.Token).ConfigureAwait(false);
        }
        catch (Exception fault) when (IsPassing(fault) && !_end.IsCancellationRequested)
        {
            owner.Warn($"Scheduled records for {intent.Target} could not be appended; they are tried again: {fault.Message}", fault);
        }
        Post(new IntentAnswered(intent.Target, intent.FirstSequence, outcome));
    }

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
                owner.Warn($"Schedules wait: {fault.Message}", fault);
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
