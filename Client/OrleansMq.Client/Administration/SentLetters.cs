using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace OrleansMq.Client;

/// <summary>The records that a redrive has sent back: the latest ones, each as 16 bytes of a hash, so that a topic of any size takes
/// bounded memory. Not thread safe.</summary>
/// <param name="most">The most records.</param>
internal sealed class SentLetters(int most)
{
    private readonly HashSet<UInt128> _known = [];
    private readonly Queue<UInt128> _inOrder = [];

    /// <summary>Adds the record of a dead letter. Forgets the oldest one if there are too many.</summary>
    /// <param name="partition">The partition that the record came from.</param>
    /// <param name="offset">Its offset there.</param>
    /// <param name="group">The group that failed to handle it.</param>
    /// <param name="timestamp">Its time, since a topic that was created again has other records at the same offsets.</param>
    /// <returns>Whether it was not known.</returns>
    public bool TryAdd(TopicPartition partition, long offset, string? group, string? timestamp)
    {
        var hash = SHA256.HashData(Encoding.UTF8.GetBytes($"{partition.Topic}\0{partition.Partition}\0{offset}\0{timestamp}\0{group}"));
        var record = BinaryPrimitives.ReadUInt128BigEndian(hash);
        if (!_known.Add(record))
            return false;
        _inOrder.Enqueue(record);
        if (_inOrder.Count > most)
            _known.Remove(_inOrder.Dequeue());
        return true;
    }
}
