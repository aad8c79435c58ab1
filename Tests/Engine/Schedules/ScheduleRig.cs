using OrleansMq.Schedules;

namespace OrleansMq.Tests.Engine.Schedules;

/// <summary>A service whose effects wait until the test carries them out.</summary>
internal sealed class ScheduleRig
{
    private readonly ScheduleService _service;
    private readonly Queue<ScheduleEffect> _effects = new();
    private long _offset;
    private long _requests;

    public ScheduleRig(ScheduleOptions options)
    {
        _service = new ScheduleService(new ScheduleState(new TimerWheel(new MemoryTimerBuckets(), long.MaxValue / 4, 0)), options,
            ScheduleRules.Shipped, origin: 1);
        Add(_service.Begin(Time));
    }

    public long Now { get; set; }
    public long Elapsed { get; set; }
    private ScheduleTime Time => new(Now, Elapsed);
    public ScheduleState State => _service.State;
    public List<(ScheduleTarget Target, ScheduledTimer Timer)> Published { get; } = [];
    /// <summary>What was appended to the schedules' log.</summary>
    public List<IReadOnlyList<ScheduleRecord>> Batches { get; } = [];
    /// <summary>The targets by the offset of a payload.</summary>
    public Func<ScheduledTimer, FoundTarget> TargetOf { get; set; } = _ => default;
    public WakeSchedule? Wake { get; private set; }
    public long Dropped => _service.Dropped;
    /// <summary>Whether a target refuses a record.</summary>
    public Func<ScheduledTimer, bool> Refuses { get; set; } = _ => false;
    /// <summary>Whether a record repeats.</summary>
    public bool Repeats { get; set; }

    /// <summary>Topics that no list has.</summary>
    public HashSet<Guid> Missing { get; } = [];
    /// <summary>Topics that were surely deleted.</summary>
    public HashSet<Guid> Gone { get; } = [];
    /// <summary>The numbers of topics that were confirmed.</summary>
    public List<int> Sampled { get; } = [];

    /// <summary>The last answer.</summary>
    public ScheduleOutcome Answer { get; private set; }

    public void Create(ScheduleHandle handle, byte content = 0, Guid topicId = default) =>
        Process(new ScheduleRequest(++_requests, handle, Value(content, topicId)));

    /// <summary>The value of a scheduled record.</summary>
    public static byte[] Value(byte content, Guid topicId = default)
    {
        var value = new byte[ScheduleRecords.TopicIdByte + 16];
        value[8] = content;
        topicId.TryWriteBytes(value.AsSpan(ScheduleRecords.TopicIdByte), bigEndian: true, out _);
        return value;
    }

    public bool TryFind(Guid id, out ScheduleHandle handle, out bool isEnding) => _service.TryFind(id, out handle, out isEnding);

    public bool IsIntended(ScheduleHandle handle) => _service.IsIntended(handle);

    public void Cancel(ScheduleHandle handle) => Process(new CancelRequest(++_requests, handle));

    public void Tick() => Process(new ScheduleTick());

    /// <summary>Carries out the first effect of a kind.</summary>
    public void Do<T>()
        where T : ScheduleEffect
    {
        var waiting = _effects.ToList();
        var effect = Assert.IsType<T>(waiting.First(effect => effect is T));
        waiting.Remove(effect);
        _effects.Clear();
        waiting.ForEach(_effects.Enqueue);
        Do(effect);
    }

    /// <summary>Carries out all effects, and those that follow.</summary>
    public void DoAll()
    {
        while (_effects.TryDequeue(out var effect))
            Do(effect);
    }

    private void Do(ScheduleEffect effect)
    {
        switch (effect)
        {
            case AppendScheduleRecords append:
                Batches.Add(append.Records);
                _offset += append.Records.Count;
                Process(new ScheduleRecordsInForce(append.Number, _offset - append.Records.Count));
                break;
            case ReadScheduleTargets read:
                Process(new ScheduleTargetsRead(read.Number, [.. read.Timers.Select(TargetOf)]));
                break;
            case FindMissingTopics find:
                Process(new MissingTopicsFound(find.TopicIds.Where(Missing.Contains).ToHashSet()));
                break;
            case ConfirmMissingTopics confirm:
                Sampled.Add(confirm.Timers.Count);
                Process(new MissingTopicsConfirmed(confirm.Timers.Select(timer => timer.TopicId).Where(Gone.Contains).ToHashSet()));
                break;
            case PublishIntent publish:
                var (target, timers) = (publish.Intent.Target, publish.Intent.Timers);
                var taken = timers.TakeWhile(timer => !Refuses(timer)).ToList();
                Published.AddRange(taken.Select(timer => (target, timer)));
                Process(new IntentAnswered(target, publish.Intent.FirstSequence, PublishOutcome.Published)
                {
                    Refused = taken.Count < timers.Count ? new RefusedRecord(taken.Count, 7, Repeats) : null,
                });
                break;
        }
    }

    private void Process(ScheduleCommand command) => Add(_service.Process(command, Time));

    private void Add(IReadOnlyList<ScheduleEffect> effects)
    {
        foreach (var effect in effects)
        {
            if (effect is WakeSchedule wake)
                Wake = wake;
            else if (effect is ScheduleAnswer answer)
                Answer = answer.Outcome;
            else
                _effects.Enqueue(effect);
        }
    }
}
