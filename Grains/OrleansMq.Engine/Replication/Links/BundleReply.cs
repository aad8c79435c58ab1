using OrleansMq.Records;

namespace OrleansMq.Replication.Links;

/// <summary>The answers that return with the reply to a bundle. Used by one thread.</summary>
/// <param name="broker">The broker that sent the bundle.</param>
/// <param name="isCatchUp">Whether they answer batches of catching-up replicas.</param>
internal sealed class BundleReply(int broker, bool isCatchUp) : IDisposable
{
    private readonly PooledBuffer _answers = new();

    /// <summary>The broker that sent the bundle.</summary>
    public int Broker { get; } = broker;

    /// <summary>Whether they answer batches of catching-up replicas, which no append waits for.</summary>
    public bool IsCatchUp { get; } = isCatchUp;

    /// <summary>Adds an answer.</summary>
    public void Add(ReplicaKey key, ReplicationMessage message) => BundleWriter.Add(_answers, key, message);

    /// <summary>Returns all answers as a bundle.</summary>
    /// <param name="marks">The bundle's marks.</param>
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
