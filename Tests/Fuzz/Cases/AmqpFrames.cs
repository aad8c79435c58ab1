using System.Buffers.Binary;
using System.Text;

namespace OrleansMq.Tests.Fuzz.Cases;

/// <summary>What a client of AMQP 0-9-1 sends from its first byte on.</summary>
internal static class AmqpFrames
{
    private const byte End = 0xCE;

    private static readonly byte[] Header = [(byte)'A', (byte)'M', (byte)'Q', (byte)'P', 0, 0, 9, 1];

    // Tune-ok with the limits that the broker offers at most, and open of the virtual host /.
    private static readonly byte[][] Opening = [Convert.FromHexString("0100000000000C000A001F07FF00020000003CCE"),
        Convert.FromHexString("01000000000008000A0028012F0000CE")];

    private static readonly byte[][] Methods = [.. new[]
    {
        "010001000000050014000A00CE",
        "010001000000360032000A000001710D000000290C782D6D61782D6C656E67746849000003E80D782D6D6573736167652D74746C6C000000012A05F200CE",
        "010001000000320028000A0000046C6F677305746F7069631A0000001C12616C7465726E6174652D65786368616E6765530000000472657374CE",
        "010001000000160032001400000171046C6F677303612E230000000000CE",
        "0100010000000B003C000A00000000006401CE",
        "01000100000022003C001400000171046374616706000000100A782D7072696F7269747949FFFFFFFBCE",
        "01000100000010003C00280000046C6F677303612E6201CE",
        "0100010000000D003C0050000000000000020101CE",
        "0100010000000D003C0078000000000000000702CE",
        "010001000000050055000A00CE",
        // A message to the default exchange: method, header, body.
        "0100010000000A003C0028000000017100CE" + "0200010000000E003C000000000000000000030000CE" + "03000100000003616263CE",
        "08000000000000CE",
    }.Select(Convert.FromHexString)];

    /// <summary>Returns the pieces that a client sends, some of them broken.</summary>
    public static List<byte[]> Conversation(Random random)
    {
        List<byte[]> pieces = [Header, StartOk(random.Next(4) == 0 ? "guest" : "fuzz"), .. Opening, Methods[0]];
        for (var more = random.Next(8); more > 0; more--)
            pieces.Add(Methods[random.Next(Methods.Length)]);
        var broken = random.Next(pieces.Count);
        for (var at = broken; at < pieces.Count; at++)
        {
            if (at == broken || random.Next(3) == 0)
                pieces[at] = random.Next(20) == 0 ? Mutator.Noise(random, 300) : Mutator.Mutate(pieces[at], random);
        }
        return pieces;
    }

    private static byte[] StartOk(string user)
    {
        var response = Encoding.ASCII.GetBytes($"\0{user}\0{user}");
        byte[] payload = [0, 10, 0, 11, 0, 0, 0, 0, 5, .. "PLAIN"u8, 0, 0, 0, (byte)response.Length, .. response, 5, .. "en_US"u8];
        var frame = new byte[7 + payload.Length + 1];
        frame[0] = 1;
        BinaryPrimitives.WriteInt32BigEndian(frame.AsSpan(3), payload.Length);
        payload.CopyTo(frame, 7);
        frame[^1] = End;
        return frame;
    }
}
