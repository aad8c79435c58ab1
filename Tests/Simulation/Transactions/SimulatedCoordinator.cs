using OrleansMq.Api;
using OrleansMq.Transactions;

namespace OrleansMq.Tests.Simulation.Transactions;

/// <summary>One activation of a transactional id's coordinator, from start to end: the shipped core, and the state of its shell.</summary>
internal sealed class SimulatedCoordinator(string id, int number, int skewMs)
{
    public string Id { get; } = id;
    /// <summary>How far its clock is ahead of the true time.</summary>
    public int SkewMs { get; } = skewMs;
    /// <summary>The core; null during the first read of the stored state.</summary>
    public TransactionCore? Core { get; set; }
    public bool IsUp { get; set; } = true;
    /// <summary>The end of a pause, during which it does nothing, without knowing so afterwards.</summary>
    public long PausedUntil { get; set; }
    /// <summary>Requests that arrived before it could serve.</summary>
    public Queue<Action> Early { get; } = [];
    public int WritesInFlight { get; set; }
    public bool WantsToRead { get; set; }
    /// <summary>The unanswered requests.</summary>
    public Dictionary<long, OpenRequest> Waiting { get; } = [];
    /// <summary>The last known version of the document.</summary>
    public long Version { get; set; }
    /// <summary>Counts the requested wake-up times: only the last one counts.</summary>
    public long Wakes { get; set; }
    /// <summary>Counts the ends that participants are told of: only the last one goes on.</summary>
    public long Telling { get; set; }

    public override string ToString() => $"c{number}({Id})";
}

/// <summary>A request that a coordinator works on.</summary>
/// <param name="Body">The request.</param>
/// <param name="Client">The client that sent it itself; null: a gateway, or an operator.</param>
/// <param name="For">The client for which it was sent; null: an operator.</param>
/// <param name="Transaction">The client's transaction that it is of; null: of none, or it may be late.</param>
/// <param name="Known">The number of states that were stored when it arrived.</param>
/// <param name="ArrivedAt">When it arrived.</param>
/// <param name="Answer">Sends the answer.</param>
internal sealed record OpenRequest(ITransactionRequest Body, SimulatedClient? Client, SimulatedClient? For,
    ClientTransaction? Transaction, int Known, long ArrivedAt, Action<object> Answer)
{
    public bool IsAbandoned { get; set; }
}
