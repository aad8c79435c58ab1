using OrleansMq.Api;

namespace OrleansMq.Tests.Simulation.Transactions;

/// <summary>What a client was told of its transaction.</summary>
internal enum ClientOutcome
{
    /// <summary>Nothing that is sure.</summary>
    Unknown,
    Committed,
    Aborted,
    /// <summary>It was refused, and will never be committed.</summary>
    Failed,
}

/// <summary>A transaction as its client knows it.</summary>
/// <param name="client">The client.</param>
/// <param name="index">Its number among those of the client.</param>
/// <param name="producer">The identity that its batches carry.</param>
internal sealed class ClientTransaction(SimulatedClient client, int index, ProducerIdentity producer)
{
    public SimulatedClient Client { get; } = client;
    public ProducerIdentity Producer { get; } = producer;
    public long BeganAt { get; } = client.Now;
    /// <summary>The partitions that the client has added.</summary>
    public HashSet<SimulatedPartition> Added { get; } = [];
    public bool HasAddedGroup { get; set; }
    /// <summary>The partitions of the group that it has committed offsets of. Each once: a request that comes late may not replace a later
    /// offset.</summary>
    public HashSet<int> Committed { get; } = [];
    public bool WasToCommit { get; set; }
    public ClientOutcome Outcome { get; set; }
    /// <summary>The coordinator's number of the transaction that its first data entered; 0: none has.</summary>
    public long Number { get; set; }
    /// <summary>The coordinator's number of the transaction that has what its client added; 0: none has.</summary>
    public long AddedTo { get; set; }
    /// <summary>The acknowledged records.</summary>
    public List<ProducedRecord> Acknowledged { get; } = [];

    public override string ToString() => $"{Client}/{index}";
}

/// <summary>A batch of one record.</summary>
/// <param name="Transaction">Its transaction.</param>
/// <param name="Partition">Its partition.</param>
/// <param name="Sequence">Its sequence.</param>
/// <param name="Value">Unique in the run.</param>
internal sealed record ProducedRecord(ClientTransaction Transaction, SimulatedPartition Partition, int Sequence, int Value);
