using System.Globalization;
using System.Net;
using System.Net.Sockets;
using OrleansMq.Security;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Kafka.Schemas;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Fuzz.Wire;

/// <summary>Produces and fetches over Kafka's protocol, authenticated by SCRAM.</summary>
internal sealed class GoodKafkaClient(IPEndPoint address) : IGoodClient
{
    private const short Produce = 0, Fetch = 1, SaslHandshake = 17, SaslAuthenticate = 36;
    private const string Topic = "private-kafka";

    private WireClient? _wire;
    private int _lastId;

    /// <inheritdoc/>
    public async Task ConnectAsync()
    {
        var client = new TcpClient { NoDelay = true };
        await client.ConnectAsync(address);
        _wire = new WireClient(client);
        await AskAsync(SaslHandshake, 1, ("Mechanism", "SCRAM-SHA-256"));
        var scram = new ScramClient(ScramMechanism.Sha256, "good", BrokerProcess.GoodPassword);
        var challenge = Bytes(await AskAsync(SaslAuthenticate, 2, ("AuthBytes", scram.First())), "AuthBytes");
        await AskAsync(SaslAuthenticate, 2, ("AuthBytes", scram.Final(challenge)));
    }

    /// <inheritdoc/>
    public async Task<long> AppendAsync(string value)
    {
        var answer = await AskAsync(Produce, 9, ("Name", Topic), ("Records", TestBatches.Of(value)));
        return long.Parse(Text(answer, "BaseOffset"), CultureInfo.InvariantCulture);
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<(long Offset, string Value)>> ReadAsync(long offset)
    {
        var answer = await AskAsync(Fetch, 12, ("Topic", Topic), ("FetchOffset", offset));
        return [.. TestBatches.Read(Bytes(answer, "Records")).Where(record => record.Offset >= offset)];
    }

    public void Dispose() => _wire?.Dispose();

    private async Task<string> AskAsync(short key, short version, params (string, object?)[] fields)
    {
        await _wire!.SendAsync(Frames.Of(key, version, ++_lastId, fields));
        var answer = await _wire.ReceiveAsync() ?? throw new FuzzFailedException("The connection of the good client was closed.");
        var text = MessageText.OfResponse(Schema.Response(key), version, answer, _lastId);
        foreach (var line in text.Split('\n'))
        {
            if (line.TrimStart().StartsWith("ErrorCode: ", StringComparison.Ordinal) && !line.EndsWith(": 0", StringComparison.Ordinal))
                throw new FuzzFailedException($"The good client's request {key} was refused:\n{text}");
        }
        return text;
    }

    private static string Text(string answer, string name)
    {
        var start = answer.IndexOf($"{name}: ", StringComparison.Ordinal) + name.Length + 2;
        return answer[start..answer.IndexOf('\n', start)];
    }

    // Bytes are printed as their number, the word bytes, and hexadecimal digits.
    private static byte[] Bytes(string answer, string name) =>
        Text(answer, name).Split(' ') is [_, "bytes", var digits] ? Convert.FromHexString(digits) : [];
}
