using OrleansMq.Api;
using OrleansMq.Groups;
using OrleansMq.Groups.Coordination;

namespace OrleansMq.Tests.Simulation.Groups;

/// <summary>One activation of the group's coordinator, from start to end: the shipped core, and the state of its shell.</summary>
internal sealed class SimulatedCoordinator(int number)
{
    private CoreView _view = CoreView.None;

    public int Number { get; } = number;
    /// <summary>The core; null during the first read of the stored state.</summary>
    public GroupCore? Core { get; set; }
    /// <summary>The working state of the core.</summary>
    public CoreView View => _view = CoreView.Of(Core!, _view);
    public bool IsUp { get; set; } = true;
    /// <summary>The end of a pause, during which it does nothing, without knowing so afterwards.</summary>
    public long PausedUntil { get; set; }
    /// <summary>Requests that arrived before it could serve.</summary>
    public Queue<Action> Early { get; } = [];
    /// <summary>The number of writes in flight.</summary>
    public int WritesInFlight { get; set; }
    public bool WantsToRead { get; set; }
    /// <summary>Whether an operator asked to delete the group.</summary>
    public bool WasToDelete { get; set; }
    public GroupTopics Topics { get; set; } = GroupTopics.Unknown;
    /// <summary>The unanswered requests.</summary>
    public Dictionary<long, OpenRequest> Waiting { get; } = [];
    /// <summary>The last known versions of the documents.</summary>
    public Dictionary<int, long> Versions { get; } = new() { [GroupDocuments.Group] = 0, [GroupDocuments.Offsets] = 0 };
    public long TopicsVersion { get; set; } = -1;
    /// <summary>Counts the requested wake-up times: only the last one counts.</summary>
    public long Wakes { get; set; }
    /// <summary>The latest group document known to be stored.</summary>
    public GroupDocument? Known { get; set; }
    /// <summary>All group documents known to be stored, one for each generation.</summary>
    public List<GroupDocument> AllKnown { get; } = [];

    public override string ToString() => $"c{Number}";
}

/// <summary>A request that a coordinator works on.</summary>
/// <param name="Body">The request.</param>
/// <param name="Known">The group that the coordinator knew to be stored on arrival.</param>
/// <param name="HadMembers">Whether the coordinator's working state had members.</param>
/// <param name="Revealed">The highest generation revealed to any member before.</param>
/// <param name="Arrival">The number of its arrival among commits and deletes.</param>
/// <param name="Answer">Sends the answer.</param>
internal sealed record OpenRequest(IGroupRequest Body, GroupDocument? Known, bool HadMembers, int Revealed, int Arrival,
    Action<object> Answer);
