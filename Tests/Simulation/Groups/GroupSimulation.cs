using OrleansMq.Groups;
using OrleansMq.Groups.Coordination;

namespace OrleansMq.Tests.Simulation.Groups;

/// <summary>One consumer group in one thread, from one seed: coordinators with the shipped core, their documents in a store, a network,
/// members of both protocols, an operator, and faults. The same seed runs the same steps.</summary>
internal sealed partial class GroupSimulation : ISimulation<GroupFigures>
{
    public const string GroupId = "g";
    private const long FaultsEndAt = 30_000;
    private const long EndAt = 200_000;

    private readonly Random _random;
    private readonly EventQueue _events = new();

    private readonly AnswerChecker _answers;
    private readonly MembershipChecker _membership;

    public GroupSimulation(int seed, GroupRules rules, GroupFocus focus = GroupFocus.None)
    {
        _random = new Random(seed);
        _rules = rules;
        Scenario = new GroupScenario(_random, focus);
        _options = new GroupOptions
        {
            MinSessionTimeout = TimeSpan.FromSeconds(1),
            InitialRebalanceDelay = TimeSpan.FromMilliseconds(Scenario.InitialDelayMs),
            ConsumerHeartbeatInterval = TimeSpan.FromMilliseconds(Scenario.HeartbeatMs),
            ConsumerSessionTimeout = TimeSpan.FromMilliseconds(Scenario.SessionMs),
        };
        Ownership = new OwnershipChecker(this);
        Offsets = new OffsetChecker(Scenario.IsOrdered, id => _topics.Values.All(t => t.Id != id), IsLedger);
        Transactions = new TransactionChecker(this);
        _answers = new AnswerChecker(this, Ownership, Offsets);
        _membership = new MembershipChecker(this);
    }

    public OwnershipChecker Ownership { get; }
    public OffsetChecker Offsets { get; }

    /// <summary>Returns the stored generation or epoch of a member; null if it is not stored.</summary>
    public int? StoredEpochOf(string memberId) => GroupView.EpochOf(_documents.Group.Value, memberId);

    /// <summary>Whether a member of a coordinator-assigned group is stored with that partition of another topic of the same name.</summary>
    public bool IsNamesake(string memberId, TopicIdPartition partition) =>
        _documents.Group.Value?.Consumer?.Members.GetValueOrDefault(memberId) is { } member
            && member.Assigned.Concat(member.Revoking).Any(p => p.Partition == partition.Partition && p.TopicId != partition.TopicId
                && NameOf(p.TopicId) == NameOf(partition.TopicId));

    public GroupScenario Scenario { get; }
    public string Description => Scenario.ToString();
    /// <summary>Receives each relevant step, to analyse a failing seed; null for speed.</summary>
    public Action<string>? Trace { get; init; }
    public GroupFigures Figures { get; } = new() { Seeds = 1 };
    /// <summary>Milliseconds since the run began.</summary>
    public long Now { get; private set; }

    public bool Quiet => Now > FaultsEndAt;

    public void Run()
    {
        CreateTopics();
        StartProducers();
        for (var i = 0; i < Scenario.Members; i++)
            After(_random.Next(1_000), () => StartMember());
        After(_random.Next(1_000, 3_000), Fault);
        After(_random.Next(1_000, 3_000), Change);
        while (_events.TryTake(out var step, out var at) && at <= EndAt && !IsDone())
        {
            Now = at;
            step();
            Figures.Steps++;
        }
        CheckEnd();
    }

    public void After(long delay, Action step) => _events.Add(Now + delay, step);

    public bool Chance(int percent) => _random.Next(100) < percent;

    public int Next(int below) => _random.Next(below);

    public int Next(int from, int below) => _random.Next(from, below);

    public T Choose<T>(IReadOnlyList<T> from) => from[_random.Next(from.Count)];

    public Guid NewGuid()
    {
        Span<byte> bytes = stackalloc byte[16];
        _random.NextBytes(bytes);
        return new Guid(bytes);
    }

    public bool IsTraced => Trace is not null;

    public void Tell(FormattableString line) => Trace?.Invoke(FormattableString.Invariant($"{Now,6} {FormattableString.Invariant(line)}"));
}
