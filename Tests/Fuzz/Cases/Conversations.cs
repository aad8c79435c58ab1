using System.Buffers.Binary;
using System.Text;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Security;
using OrleansMq.Tests.Fuzz.Wire;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Fuzz.Cases;

/// <summary>Makes what a connection sends from its seed.</summary>
/// <param name="clientHello">The first record of a TLS client.</param>
/// <param name="token">A valid token, which is broken before it is sent.</param>
internal sealed class Conversations(byte[] clientHello, string token)
{
    private const short SaslHandshake = 17, SaslAuthenticate = 36;
    private const int MostRequests = 40;

    private static readonly string[] Mechanisms = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI", ""];

    private readonly KafkaFrames _kafka = new(Guid.Empty);
    private readonly HttpRequests _http = new();

    /// <summary>The kinds of requests of Kafka's protocol and of HTTP.</summary>
    public int Kinds => KafkaFrames.Kinds.Count + _http.Count;

    /// <summary>Makes the conversation of a seed.</summary>
    public Conversation Of(long seed)
    {
        var random = new Random((int)(seed ^ (seed >> 32)));
        var conversation = random.Next(20) switch
        {
            < 8 => Kafka(random, HostilePort.Kafka, []),
            < 10 => Kafka(random, HostilePort.Sasl, Plain(BrokerProcess.MalloryPassword)) with { IsAuthenticated = true },
            < 13 => Kafka(random, HostilePort.Sasl, Unauthenticated(random)),
            13 => new Conversation(random.Next(2) == 0 ? HostilePort.TlsRecords : HostilePort.HttpsRecords, TlsRecords(random)),
            14 => Kafka(random, HostilePort.InsideTls, []),
            < 18 => new Conversation(HostilePort.Http, [.. Several(random, 6, () => _http.Next(random, token))]),
            18 => new Conversation(HostilePort.Amqp, AmqpFrames.Conversation(random)),
            _ => new Conversation(HostilePort.Management, [.. Several(random, 4, () => HttpRequests.NextOfManagement(random))]),
        };
        return conversation with { IsReset = random.Next(16) == 0, IsSlow = random.Next(4) == 0 };
    }

    private Conversation Kafka(Random random, HostilePort port, List<byte[]> before)
    {
        List<byte[]> requests = [.. before, .. Several(random, MostRequests, () => _kafka.Next(random, random.Next()))];
        var isBroken = random.Next(12) == 0;
        var pieces = requests.ConvertAll(request => Prefixed(request, isBroken && random.Next(4) == 0 ? random : null));
        // The first version of the handshake is followed by messages without a header.
        var isFramed = !isBroken && !requests.Exists(static request => request.AsSpan().StartsWith((byte[])[0, (byte)SaslHandshake, 0, 0]));
        return new Conversation(port, pieces)
        {
            Requests = isFramed ? requests : null,
            MayWait = requests.Exists(MayWait),
        };
    }

    // Fetches, and what a group's members wait for together.
    private static bool MayWait(byte[] request) => ApiTable.Decode((byte[])request.Clone()) is { Outcome: DecodeOutcome.Decoded } decoded
        && decoded.Api!.Key is (ApiKey.Fetch or ApiKey.ShareFetch or ApiKey.JoinGroup or ApiKey.SyncGroup);

    private static List<byte[]> Plain(string password) => [Frames.Of(SaslHandshake, 1, 1, ("Mechanism", "PLAIN")),
        Frames.Of(SaslAuthenticate, 2, 2, ("AuthBytes", Encoding.UTF8.GetBytes($"\0mallory\0{password}")))];

    // Authentications that fail, or end before their end.
    private List<byte[]> Unauthenticated(Random random)
    {
        var requests = new List<byte[]>();
        if (random.Next(4) == 0)
            requests.Add(Frames.Of(18, 0, 1));
        var mechanism = Mechanisms[random.Next(Mechanisms.Length)];
        var isOld = random.Next(4) == 0;
        var handshake = Frames.Of(SaslHandshake, isOld ? (short)0 : (short)1, 2, ("Mechanism", mechanism));
        requests.Add(random.Next(4) == 0 ? Mutator.Mutate(handshake, random, KafkaFrames.HeadBytes) : handshake);
        for (var messages = random.Next(4); messages > 0; messages--)
        {
            var message = Message(random, mechanism);
            requests.Add(isOld ? message
                : Frames.Of(SaslAuthenticate, (short)random.Next(3), 3, ("AuthBytes", message)));
        }
        return requests;
    }

    private byte[] Message(Random random, string mechanism)
    {
        var message = mechanism switch
        {
            "PLAIN" => Encoding.UTF8.GetBytes("\0mallory\0wrong"),
            "OAUTHBEARER" => Encoding.UTF8.GetBytes($"n,,\u0001auth=Bearer {token}\u0001\u0001"),
            _ when random.Next(2) == 0 => Encoding.UTF8.GetBytes("c=biws,r=abc,p=AAAA"),
            _ => new ScramClient(ScramMechanism.Sha256, "mallory", "wrong").First(),
        };
        return random.Next(10) switch
        {
            0 => Mutator.Noise(random, 2_000),
            // A token that stays whole would be taken.
            _ when mechanism == "OAUTHBEARER" => [.. Mutator.Mutate(message, random), (byte)'x'],
            < 3 => message,
            _ => Mutator.Mutate(message, random),
        };
    }

    private List<byte[]> TlsRecords(Random random) => random.Next(8) switch
    {
        0 => [Mutator.Noise(random, 2_000)],
        1 => [clientHello, Mutator.Noise(random, 2_000)],
        // Records of every type behind the first one, with a length that is right.
        2 => [clientHello, .. Several(random, 5, () =>
        {
            var content = Mutator.Noise(random, 300);
            return [(byte)(20 + random.Next(5)), 3, (byte)random.Next(5), (byte)(content.Length >> 8), (byte)content.Length, .. content];
        })],
        _ => [Mutator.Mutate(clientHello, random)],
    };

    private static IEnumerable<byte[]> Several(Random random, int most, Func<byte[]> next)
    {
        for (var left = 1 + random.Next(most); left > 0; left--)
            yield return next();
    }

    private static byte[] Prefixed(byte[] request, Random? random)
    {
        var bytes = new byte[sizeof(int) + request.Length];
        BinaryPrimitives.WriteInt32BigEndian(bytes, request.Length);
        request.CopyTo(bytes, sizeof(int));
        if (random is not null)
            bytes[random.Next(sizeof(int))] = (byte)random.Next(256);
        return bytes;
    }
}
