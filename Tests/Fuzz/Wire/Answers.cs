using System.Buffers.Binary;
using OrleansMq.Tests.Fuzz.Cases;

namespace OrleansMq.Tests.Fuzz.Wire;

/// <summary>Checks what a hostile client received.</summary>
internal static class Answers
{
    private const short SaslHandshake = 17, ApiVersions = 18, SaslAuthenticate = 36;

    /// <summary>Checks the answers of a connection.</summary>
    /// <param name="conversation">What was sent.</param>
    /// <param name="received">All that came back.</param>
    /// <param name="secret">What no hostile client may see.</param>
    /// <exception cref="FuzzFailedException">The client received what it must not.</exception>
    public static void Check(Conversation conversation, ReadOnlySpan<byte> received, ReadOnlySpan<byte> secret)
    {
        if (received.IndexOf(secret) >= 0)
            throw new FuzzFailedException("It received another client's record.");
        switch (conversation.Port)
        {
            case HostilePort.Kafka or HostilePort.Sasl or HostilePort.InsideTls when conversation.Requests is { } requests:
                CheckKafka(requests, received, conversation.Port != HostilePort.Sasl || conversation.IsAuthenticated);
                break;
            case HostilePort.Http or HostilePort.Management when received.Length > 0:
                if (!received.StartsWith("HTTP/1.1 "u8))
                    throw new FuzzFailedException("Its answer is no HTTP.");
                if (received.IndexOf("HTTP/1.1 500"u8) >= 0)
                    throw new FuzzFailedException("A request was answered by 500: "
                        + System.Text.Encoding.UTF8.GetString(received[received.IndexOf("HTTP/1.1 500"u8)..]));
                break;
            default:
                break;
        }
    }

    /// <summary>The answers are those of its own requests, in their order. Some are left out: of a request that wants none, and of all
    /// after one that closes the connection. A client that is not known gets none but those of its authentication.</summary>
    private static void CheckKafka(IReadOnlyList<byte[]> requests, ReadOnlySpan<byte> received, bool isKnown)
    {
        var next = 0;
        while (received.Length >= 8)
        {
            var length = BinaryPrimitives.ReadInt32BigEndian(received);
            // The connection may end in the middle of the last one.
            if (length < 4)
                throw new FuzzFailedException($"An answer has {length} bytes.");
            var id = received.Slice(4, 4);
            while (next < requests.Count && !(requests[next].Length >= 8 && requests[next].AsSpan(4, 4).SequenceEqual(id)))
                next++;
            if (next == requests.Count)
                throw new FuzzFailedException($"An answer has the correlation id {Convert.ToHexString(id)}, which no request has that is "
                    + "not answered yet.");
            var key = BinaryPrimitives.ReadInt16BigEndian(requests[next++]);
            if (!isKnown && key is not (SaslHandshake or ApiVersions or SaslAuthenticate))
                throw new FuzzFailedException($"A client that has not authenticated has an answer to its request {key}.");
            received = received[Math.Min(received.Length, 4 + length)..];
        }
    }
}
