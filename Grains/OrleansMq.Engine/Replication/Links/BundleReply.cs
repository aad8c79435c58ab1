using OrleansMq.Records;

namespace OrleansMq.Replication.Links;

/// <summary>Answers that go back with the reply to a bundle. Used by one thread.</summary>
/// <param name="broker">Who waits for them.</param>
/// <param name="isCatchUp">Whether they answer batches of replicas that catch up.</param>
internal sealed class BundleReply(int broker, bool isCatchUp) : IDisposable
{
    private readonly PooledBuffer _answers = new();

    /// <summary>Who waits for them.</summary>
    public int Broker { get; } = broker;

    /// <summary>Whether they answer batches of replicas that catch up: nobody waits for those.</summary>
    public bool IsCatchUp { get; } = isCatchUp;

    /// <summary>Adds an answer.</summary>
    public void Add(ReplicaKey key, ReplicationMessage message) => BundleWriter.Add(_answers, key, message);

    /// <summary>All of them, as a bundle.</summary>
    /// <param name="marks">Of the bundle.</param>
    public ReadOnlyMemory<byte> ToBundle(BundleMarks marks)
    {
        if (_answers.Length == 0)
            return default;
        BundleFormat.Mark(_answers.WrittenSpan, marks);
        return _answers.WrittenSpan.ToArray();
    }

    /// <inheritdoc/>
    public void Dispose() => _answers.Dispose();
}
