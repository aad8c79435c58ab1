using OrleansMq.Records;

namespace OrleansMq.Replication.Links;

/// <summary>Answers that go back with the reply to a bundle. Used by one thread.</summary>
internal sealed class BundleReply(int broker) : IDisposable
{
    private readonly PooledBuffer _answers = new();

    /// <summary>Who waits for them.</summary>
    public int Broker { get; } = broker;

    /// <summary>Adds an answer.</summary>
    public void Add(ReplicaKey key, ReplicationMessage message) => BundleWriter.Add(_answers, key, message);

    /// <summary>All of them, as a bundle.</summary>
    public ReadOnlyMemory<byte> ToBundle() => _answers.Length == 0 ? default : _answers.WrittenSpan.ToArray();

    /// <inheritdoc/>
    public void Dispose() => _answers.Dispose();
}
