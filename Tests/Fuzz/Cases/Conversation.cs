using OrleansMq.Tests.Fuzz.Wire;

namespace OrleansMq.Tests.Fuzz.Cases;

/// <summary>What one hostile connection sends, and how it ends.</summary>
/// <param name="Port">The port.</param>
/// <param name="Pieces">The bytes, piece by piece.</param>
internal sealed record Conversation(HostilePort Port, IReadOnlyList<byte[]> Pieces)
{
    /// <summary>The requests of Kafka's protocol without their lengths; null where answers are not matched with them, since a length is
    /// broken.</summary>
    public IReadOnlyList<byte[]>? Requests { get; init; }

    /// <summary>Whether the client has proved who it is before the other requests.</summary>
    public bool IsAuthenticated { get; init; }

    /// <summary>Whether the answer to a request may have to wait for something.</summary>
    public bool MayWait { get; init; }

    /// <summary>Whether the connection is reset instead of ended.</summary>
    public bool IsReset { get; init; }

    /// <summary>Whether a piece is sent only once the one before has left.</summary>
    public bool IsSlow { get; init; }

    /// <summary>The frames: requests, messages, or records.</summary>
    public int Frames => Pieces.Count;
}
