using System.Text;

namespace OrleansMq.VirtualHosts;

/// <summary>A reply code of AMQP 0-9-1 that refuses a command.</summary>
internal enum AmqpCode
{
    /// <summary>No refusal.</summary>
    None = 0,
    /// <summary>Closes the channel.</summary>
    AccessRefused = 403,
    /// <summary>Closes the channel.</summary>
    NotFound = 404,
    /// <summary>Closes the channel.</summary>
    ResourceLocked = 405,
    /// <summary>Closes the channel.</summary>
    PreconditionFailed = 406,
    /// <summary>Closes the connection.</summary>
    NotAllowed = 530,
    /// <summary>Closes the connection.</summary>
    NotImplemented = 540,
}

/// <summary>A refused command: what the client is closed with.</summary>
/// <param name="Code">The reply code.</param>
/// <param name="Text">The text without the code's name.</param>
internal sealed record AmqpRefusal(AmqpCode Code, string Text)
{
    private const int MaxBytes = 255;

    /// <summary>Whether the connection is closed, not only the channel.</summary>
    public bool ClosesConnection => (int)Code >= 500;

    /// <summary>The reply text: the code's name and the text, cut to the 255 bytes of a short string.</summary>
    public string ReplyText
    {
        get
        {
            var text = $"{NameOf(Code)} - {Text}";
            if (Encoding.UTF8.GetByteCount(text) <= MaxBytes)
                return text;
            var bytes = 0;
            var cut = new StringBuilder();
            foreach (var rune in text.EnumerateRunes())
            {
                if ((bytes += rune.Utf8SequenceLength) > MaxBytes)
                    break;
                cut.Append(rune.ToString());
            }
            return cut.ToString();
        }
    }

    /// <summary>Creates a refusal that closes the channel: something is not there.</summary>
    public static AmqpRefusal NotFound(string resource) => new(AmqpCode.NotFound, $"no {resource}");

    /// <summary>Creates a refusal for lack of a permission, or of a reserved name.</summary>
    public static AmqpRefusal Access(string text) => new(AmqpCode.AccessRefused, text);

    /// <summary>Creates a refusal for a failed precondition.</summary>
    public static AmqpRefusal Precondition(string text) => new(AmqpCode.PreconditionFailed, text);

    /// <summary>Creates a refusal for a queue that belongs to another connection.</summary>
    public static AmqpRefusal Locked(string resource) => new(AmqpCode.ResourceLocked,
        $"cannot obtain exclusive access to locked {resource}. It could be originally declared on another connection or the exclusive "
        + "property value does not match that of the original declaration.");

    /// <summary>Creates a refusal of something that queues of a type do not have.</summary>
    public static AmqpRefusal NotImplemented(string text) => new(AmqpCode.NotImplemented, text);

    private static string NameOf(AmqpCode code) => code switch
    {
        AmqpCode.AccessRefused => "ACCESS_REFUSED",
        AmqpCode.NotFound => "NOT_FOUND",
        AmqpCode.ResourceLocked => "RESOURCE_LOCKED",
        AmqpCode.PreconditionFailed => "PRECONDITION_FAILED",
        AmqpCode.NotAllowed => "NOT_ALLOWED",
        AmqpCode.NotImplemented => "NOT_IMPLEMENTED",
        _ => throw new ArgumentOutOfRangeException(nameof(code), code, "The code has no name."),
    };
}
