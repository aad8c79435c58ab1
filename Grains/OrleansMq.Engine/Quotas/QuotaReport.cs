using System.Text;

namespace OrleansMq.Quotas;

/// <summary>What one broker uses of one limit.</summary>
internal readonly record struct QuotaReportLine(QuotaKey Key, QuotaScope Scope, QuotaUse Use);

/// <summary>
/// What one broker uses of the cluster's limits. As a message:
/// <code>
/// byte    form, 1
/// int32   broker
/// int32   lines
///   byte    key
///   string  user         nullable strings: bool, then the string
///   string  client id
///   double  rate
///   bool    whether clients are held back
/// </code>
/// </summary>
internal sealed class QuotaReport
{
    private const byte Form = 1;
    // The others are not told; they then count as unused there.
    private const int MaxLines = 2_000;
    private const int MaxBytes = 256 << 10;
    private const int CountAt = sizeof(byte) + sizeof(int);

    private readonly Dictionary<(QuotaKey, QuotaScope), QuotaUse> _uses;

    private QuotaReport(int broker, Dictionary<(QuotaKey, QuotaScope), QuotaUse> uses) => (Broker, _uses) = (broker, uses);

    /// <summary>The broker.</summary>
    public int Broker { get; }

    /// <summary>What it uses of a limit.</summary>
    public QuotaUse UseOf(QuotaKey key, QuotaScope scope) => _uses.GetValueOrDefault((key, scope));

    /// <summary>Writes a report. Where there are too many lines, or bytes, those of the highest rates.</summary>
    public static byte[] Write(int broker, IReadOnlyCollection<QuotaReportLine> lines)
    {
        using var bytes = new MemoryStream();
        using (var writer = new BinaryWriter(bytes, Encoding.UTF8, leaveOpen: true))
        {
            writer.Write(Form);
            writer.Write(broker);
            var count = 0;
            writer.Write(count);
            foreach (var line in lines.OrderByDescending(static line => line.Use.IsLimited)
                .ThenByDescending(static line => line.Use.Rate).Take(MaxLines))
            {
                if (bytes.Length + MaxBytesOf(line) > MaxBytes)
                    break;
                count++;
                writer.Write((byte)line.Key);
                Write(writer, line.Scope.User);
                Write(writer, line.Scope.ClientId);
                writer.Write(line.Use.Rate);
                writer.Write(line.Use.IsLimited);
            }
            writer.Seek(CountAt, SeekOrigin.Begin);
            writer.Write(count);
        }
        return bytes.ToArray();
    }

    /// <summary>Reads a report; null where it is malformed, or of another form.</summary>
    public static QuotaReport? Read(ReadOnlyMemory<byte> message)
    {
        using var reader = new BinaryReader(new MemoryStream(message.ToArray()), Encoding.UTF8);
        try
        {
            if (reader.ReadByte() != Form)
                return null;
            var (broker, count) = (reader.ReadInt32(), reader.ReadInt32());
            var uses = new Dictionary<(QuotaKey, QuotaScope), QuotaUse>();
            for (; count > 0; count--)
            {
                var (key, user, clientId) = ((QuotaKey)reader.ReadByte(), ReadText(reader), ReadText(reader));
                var rate = reader.ReadDouble();
                uses[(key, new QuotaScope(user, clientId))] =
                    new QuotaUse(double.IsFinite(rate) ? Math.Max(rate, 0) : 0, reader.ReadBoolean());
            }
            return new QuotaReport(broker, uses);
        }
        catch (Exception malformed) when (malformed is EndOfStreamException or FormatException or IOException)
        {
            return null;
        }
    }

    // Strings have lengths of up to five bytes.
    private static int MaxBytesOf(in QuotaReportLine line) => 2 + sizeof(double) + 2 * (1 + 5)
        + Encoding.UTF8.GetByteCount(line.Scope.User ?? "") + Encoding.UTF8.GetByteCount(line.Scope.ClientId ?? "");

    private static void Write(BinaryWriter writer, string? text)
    {
        writer.Write(text is not null);
        if (text is not null)
            writer.Write(text);
    }

    private static string? ReadText(BinaryReader reader) => reader.ReadBoolean() ? reader.ReadString() : null;
}
