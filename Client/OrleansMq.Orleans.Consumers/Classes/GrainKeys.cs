using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace OrleansMq.Consumers;

/// <summary>The kinds of keys that grains have.</summary>
internal enum GrainKeyKind
{
    /// <summary>Never used.</summary>
    Unknown = 0,
    /// <summary>Text.</summary>
    Text = 1,
    /// <summary>A UUID.</summary>
    Guid = 2,
    /// <summary>An integer.</summary>
    Integer = 3,
    /// <summary>A UUID and text.</summary>
    GuidCompound = 4,
    /// <summary>An integer and text.</summary>
    IntegerCompound = 5,
}

/// <summary>Returns the key of a grain for the key of a record.</summary>
/// <param name="kind">The kind of keys that the class has.</param>
/// <param name="format">How records write them.</param>
internal sealed class GrainKeys(GrainKeyKind kind, RecordKeyFormat format)
{
    private const int GuidLength = 16;
    private const byte Separator = (byte)'+';

    // Orleans keeps a key in the directory, in the activation and in every address of it; storages keep it in a column.
    internal const int MaxLength = 1_024;

    private static readonly UTF8Encoding StrictText = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>Whether a grain can have a key: it is not too long, and storages take it. A database takes no text with U+0000, and a grain
    /// that cannot be activated would keep its records waiting for ever.</summary>
    public static bool CanBeKey(ReadOnlySpan<byte> key) => key.Length is > 0 and <= MaxLength && !key.Contains((byte)0);

    /// <summary>The kind of keys that a class has, by its interfaces; null: it has none, or several.</summary>
    public static GrainKeyKind? KindOf(Type grainClass)
    {
        var kinds = new List<GrainKeyKind>();
        Add<IGrainWithStringKey>(GrainKeyKind.Text);
        Add<IGrainWithGuidKey>(GrainKeyKind.Guid);
        Add<IGrainWithIntegerKey>(GrainKeyKind.Integer);
        Add<IGrainWithGuidCompoundKey>(GrainKeyKind.GuidCompound);
        Add<IGrainWithIntegerCompoundKey>(GrainKeyKind.IntegerCompound);
        return kinds is [var only] ? only : null;

        void Add<T>(GrainKeyKind kind)
        {
            if (grainClass.IsAssignableTo(typeof(T)))
                kinds.Add(kind);
        }
    }

    /// <summary>Whether a grain's key is one of a kind, as Orleans writes it. A grain of another key activates, and fails where it asks for
    /// its key.</summary>
    /// <param name="kind">The kind of keys that its class has.</param>
    /// <param name="grain">The grain.</param>
    public static bool IsOf(GrainKeyKind kind, GrainId grain) => kind switch
    {
        GrainKeyKind.Integer => grain.TryGetIntegerKey(out _, out var none) && none is null,
        GrainKeyKind.IntegerCompound => grain.TryGetIntegerKey(out _, out _),
        // Orleans reads an integer as a UUID, too.
        GrainKeyKind.Guid => (grain.TryGetGuidKey(out _, out var none) && none is null) || IsOf(GrainKeyKind.Integer, grain),
        GrainKeyKind.GuidCompound => grain.TryGetGuidKey(out _, out _) || IsOf(GrainKeyKind.IntegerCompound, grain),
        _ => true,
    };

    /// <summary>Returns the key of a grain. A number or UUID is written in one way only: records of a grain under several keys would be in
    /// several partitions, without an order.</summary>
    /// <param name="key">The key of a record.</param>
    /// <param name="grain">The key of its grain.</param>
    /// <returns>Whether it is the key of a grain.</returns>
    public bool TryGet(ReadOnlySpan<byte> key, out IdSpan grain)
    {
        grain = default;
        if (key.IsEmpty || key.Length > MaxLength || !IsText(kind == GrainKeyKind.Text || format == RecordKeyFormat.Text ? key : []))
            return false;
        return kind == GrainKeyKind.Text ? Found(new IdSpan(key.ToArray()), out grain)
            : format == RecordKeyFormat.Text ? TryGetText(key, out grain) : TryGetBytes(key, out grain);
    }

    /// <summary>Says what a key of the class is.</summary>
    public string Description => $"{Form}, of at most {MaxLength:N0} bytes";

    private string Form => (kind, format) switch
    {
        (GrainKeyKind.Text, _) => "UTF-8 text without U+0000",
        (GrainKeyKind.Guid, RecordKeyFormat.Text) => "a UUID as text in lower case, such as 0f8fad5b-d9cb-469f-a165-70867728950e",
        (GrainKeyKind.Guid, _) => "a UUID of 16 bytes",
        (GrainKeyKind.Integer, RecordKeyFormat.Text) => "an integer in decimal, without a plus or zeros before it",
        (GrainKeyKind.Integer, _) => "an integer of 4 or 8 bytes, the highest first",
        (GrainKeyKind.GuidCompound, RecordKeyFormat.Text) => "a UUID as text in lower case, '+' and the extension",
        (GrainKeyKind.GuidCompound, _) => "a UUID of 16 bytes and the extension as UTF-8 text",
        (_, RecordKeyFormat.Text) => "an integer in decimal, '+' and the extension",
        _ => "an integer of 8 bytes, the highest first, and the extension as UTF-8 text",
    };

    private bool TryGetText(ReadOnlySpan<byte> key, out IdSpan grain)
    {
        grain = default;
        var isCompound = kind is GrainKeyKind.GuidCompound or GrainKeyKind.IntegerCompound;
        var end = isCompound ? key.IndexOf(Separator) : key.Length;
        if (end < 0)
            return false;
        var extension = isCompound ? key[(end + 1)..] : default;
        var text = Encoding.UTF8.GetString(key[..end]);
        if (!IsExtension(extension))
            return false;
        if (kind is GrainKeyKind.Integer or GrainKeyKind.IntegerCompound)
        {
            return long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var integer)
                && text == integer.ToString(CultureInfo.InvariantCulture) && Found(KeyOf(integer, extension), out grain);
        }
        return (Guid.TryParseExact(text, "D", out var guid) || Guid.TryParseExact(text, "N", out guid))
            && (text == $"{guid:D}" || text == $"{guid:N}") && Found(KeyOf(guid, extension), out grain);
    }

    private bool TryGetBytes(ReadOnlySpan<byte> key, out IdSpan grain)
    {
        grain = default;
        return kind switch
        {
            GrainKeyKind.Integer => key.Length switch
            {
                sizeof(int) => Found(KeyOf(BinaryPrimitives.ReadInt32BigEndian(key), default), out grain),
                sizeof(long) => Found(KeyOf(BinaryPrimitives.ReadInt64BigEndian(key), default), out grain),
                _ => false,
            },
            GrainKeyKind.IntegerCompound => key.Length >= sizeof(long) && IsText(key[sizeof(long)..]) && IsExtension(key[sizeof(long)..])
                && Found(KeyOf(BinaryPrimitives.ReadInt64BigEndian(key), key[sizeof(long)..]), out grain),
            GrainKeyKind.Guid => key.Length == GuidLength && Found(KeyOf(new Guid(key, bigEndian: true), default), out grain),
            _ => key.Length >= GuidLength && IsText(key[GuidLength..]) && IsExtension(key[GuidLength..])
                && Found(KeyOf(new Guid(key[..GuidLength], bigEndian: true), key[GuidLength..]), out grain),
        };
    }

    // A compound key may have an empty extension.
    private IdSpan KeyOf(long integer, ReadOnlySpan<byte> extension) => kind == GrainKeyKind.IntegerCompound
        ? GrainIdKeyExtensions.CreateIntegerKey(integer, Encoding.UTF8.GetString(extension))
        : GrainIdKeyExtensions.CreateIntegerKey(integer);

    private IdSpan KeyOf(Guid guid, ReadOnlySpan<byte> extension) => kind == GrainKeyKind.GuidCompound
        ? GrainIdKeyExtensions.CreateGuidKey(guid, Encoding.UTF8.GetString(extension))
        : GrainIdKeyExtensions.CreateGuidKey(guid);

    // Orleans takes white space for no extension.
    private static bool IsExtension(ReadOnlySpan<byte> text) =>
        text.IsEmpty || !string.IsNullOrWhiteSpace(Encoding.UTF8.GetString(text));

    private static bool Found(IdSpan key, out IdSpan grain)
    {
        grain = key;
        return true;
    }

    private static bool IsText(ReadOnlySpan<byte> bytes)
    {
        try
        {
            StrictText.GetCharCount(bytes);
            return !bytes.Contains((byte)0);
        }
        catch (DecoderFallbackException)
        {
            return false;
        }
    }
}
