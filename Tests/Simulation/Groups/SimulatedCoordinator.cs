using OrleansMq.Api;
using OrleansMq.Groups;
using OrleansMq.Groups.Coordination;

namespace OrleansMq.Tests.Simulation.Groups;

/// <summary>One activation of the group's coordinator, from its opening to its end: the shipped core, and what its shell would
/// keep.</summary>
internal sealed class SimulatedCoordinator(int number)
{
    public int Number { get; } = number;
    /// <summary>Null while it reads what is stored for the first time.</summary>
    public GroupCore? Core { get; set; }
    public bool IsUp { get; set; } = true;
    /// <summary>It does nothing until then, and does not know that it did nothing.</summary>
    public long PausedUntil { get; set; }
    /// <summary>What has come before it could serve.</summary>
    public Queue<Action> Early { get; } = [];
    /// <summary>Writes whose outcome it waits for.</summary>
    public int WritesInFlight { get; set; }
    public bool WantsToRead { get; set; }
    /// <summary>An operator wanted the group to be deleted.</summary>
    public bool WasToDelete { get; set; }
    public GroupTopics Topics { get; set; } = GroupTopics.Unknown;
    /// <summary>The requests that it has not answered.</summary>
    public Dictionary<long, OpenRequest> Waiting { get; } = [];
    /// <summary>What it knows of the documents' versions.</summary>
    public Dictionary<GroupDocumentKind, long> Versions { get; } = new() { [GroupDocumentKind.Group] = 0, [GroupDocumentKind.Offsets] = 0 };
    public long TopicsVersion { get; set; } = -1;
    /// <summary>Counts what was asked for as the time to wake up: only the last counts.</summary>
    public long Wakes { get; set; }
    /// <summary>The latest group document that it was told is stored.</summary>
    public GroupDocument? Known { get; set; }
    /// <summary>All generations of it that it was told are stored.</summary>
    public List<GroupDocument> AllKnown { get; } = [];

    public override string ToString() => $"c{Number}";
}

/// <summary>A request that a coordinator works on.</summary>
/// <param name="Body">The request.</param>
/// <param name="Known">The group as the coordinator knew it to be stored when it came.</param>
/// <param name="HadMembers">Whether anybody was in the group as the coordinator worked on it.</param>
/// <param name="Revealed">The highest generation that anybody had been told of.</param>
/// <param name="Answer">Sends the answer on its way.</param>
internal sealed record OpenRequest(IGroupRequest Body, GroupDocument? Known, bool HadMembers, int Revealed, Action<object> Answer);
