using System.Globalization;
using OrleansMq.Gateways.Amqp.Delays;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.VirtualHosts;
using EngineTable = OrleansMq.VirtualHosts.FieldTable;
using EngineValue = OrleansMq.VirtualHosts.FieldValue;
using FieldTable = OrleansMq.Gateways.Amqp.Wire.FieldTable;
using FieldValue = OrleansMq.Gateways.Amqp.Wire.FieldValue;

namespace OrleansMq.Gateways.Amqp.Channels;

/// <summary>What routing needs of a message, and tables on their way between the wire and the virtual hosts.</summary>
internal static class Publication
{
    /// <summary>The most routing keys of a message, with those of its headers CC and BCC.</summary>
    public const int MaxKeys = 1_000;

    /// <summary>Returns a message as routing tables take it.</summary>
    public static RoutedMessage RoutedOf(AmqpMessage message)
    {
        var headers = message.Properties.Headers;
        var keys = KeysOf(headers, message.RoutingKey);
        var properties = message.Properties;
        return new RoutedMessage(message.RoutingKey, headers is { } table ? ToEngine(table) : EngineTable.Empty,
            keys.Count > 1 ? keys[1..] : null, name => name switch
            {
                "message_id" => properties.MessageId,
                "correlation_id" => properties.CorrelationId,
                "timestamp" => properties.Timestamp?.ToString(CultureInfo.InvariantCulture),
                _ => null,
            }, IsDelayed: DelayedMessages.DelayOf(headers) is not null);
    }

    /// <summary>Returns the routing key, and those of the headers CC and BCC. What is no text there, as records of other clients may have
    /// it, is none.</summary>
    public static List<string> KeysOf(FieldTable? headers, string routingKey)
    {
        var keys = new List<string> { routingKey };
        foreach (var value in new[] { headers?.Find("CC"u8), headers?.Find("BCC"u8) })
            keys.AddRange((value?.Values ?? []).Select(static key => key.Text).OfType<string>());
        return keys;
    }

    /// <summary>Returns the routing keys of a message that a client publishes.</summary>
    /// <exception cref="AmqpException">They are not texts, or too long, or too many.</exception>
    public static List<string> CheckKeys(AmqpMessage message)
    {
        if (message.Properties.Headers is not { } headers)
            return [message.RoutingKey];
        CheckTexts("CC", headers.Find("CC"u8));
        CheckTexts("BCC", headers.Find("BCC"u8));
        var keys = KeysOf(headers, message.RoutingKey);
        if (keys.Count > MaxKeys)
            throw new AmqpException(ReplyCode.PreconditionFailed,
                $"invalid message: it has {keys.Count} routing keys with those of the headers CC and BCC, at most {MaxKeys} are allowed");
        foreach (var key in keys)
        {
            if (ResourceNames.FaultOf("a routing key of the headers CC and BCC", key) is { } fault)
                throw new AmqpException(ReplyCode.PreconditionFailed, $"invalid message: {fault.Text}");
        }
        return keys;
    }

    /// <summary>The refusal of a message whose routing takes too many steps.</summary>
    public static AmqpException TooMuchRouting(AmqpMessage message) => new(ReplyCode.PreconditionFailed,
        $"the routing of a message to exchange '{message.Exchange}' takes more than {RouteCollector.MaxSteps} steps: use fewer routing "
        + "keys or bindings, or simpler patterns");

    /// <summary>Returns a message as consumers receive it: without the header BCC.</summary>
    public static AmqpMessage WithoutBlindCopies(AmqpMessage message) =>
        message.Properties.Headers is { } headers && headers.Find("BCC"u8) is not null
            ? message with { Properties = message.Properties.With(headers.Without("BCC"u8)) } : message;

    /// <summary>Returns an exception for a refusal.</summary>
    public static AmqpException ToException(this AmqpRefusal refusal) => new((ReplyCode)(int)refusal.Code, refusal.Text);

    /// <summary>Returns a table as the virtual hosts keep it.</summary>
    public static EngineTable ToEngine(FieldTable table) =>
        EngineTable.Of(table.Entries().Select(static entry => KeyValuePair.Create(entry.Name, ToEngine(entry.Value))));

    /// <summary>Returns the name of a value's type as refusals print it.</summary>
    public static string TypeNameOf(FieldValue value) => ToEngine(value).TypeName;

    private static EngineValue ToEngine(FieldValue value) => value.Type switch
    {
        FieldType.Boolean => new BooleanValue(value.Boolean!.Value),
        FieldType.Int8 => new IntegerValue(value.Integer!.Value, IntegerKind.Int8),
        FieldType.UInt8 => new IntegerValue(value.Integer!.Value, IntegerKind.UInt8),
        FieldType.Int16 => new IntegerValue(value.Integer!.Value, IntegerKind.Int16),
        FieldType.UInt16 => new IntegerValue(value.Integer!.Value, IntegerKind.UInt16),
        FieldType.Int32 => new IntegerValue(value.Integer!.Value, IntegerKind.Int32),
        FieldType.UInt32 => new IntegerValue(value.Integer!.Value, IntegerKind.UInt32),
        FieldType.Int64 or FieldType.LongLong => new IntegerValue(value.Integer!.Value),
        FieldType.Single => new FloatingValue(value.Number!.Value, IsSingle: true),
        FieldType.Double => new FloatingValue(value.Number!.Value),
        FieldType.Decimal => new DecimalValue(value.Decimal!.Value.Digits, value.Decimal.Value.Unscaled),
        FieldType.LongString when System.Text.Unicode.Utf8.IsValid(value.Bytes!.Value.Span) => new TextValue(value.Text!),
        FieldType.LongString => new BinaryValue([.. value.Bytes!.Value.Span], IsText: true),
        FieldType.Bytes => new BinaryValue([.. value.Bytes!.Value.Span]),
        FieldType.Timestamp => new TimestampValue(value.Timestamp!.Value),
        FieldType.Array => new ArrayValue([.. value.Values!.Select(ToEngine)]),
        FieldType.Table => new TableValue(ToEngine(value.Table!.Value)),
        _ => VoidValue.Instance,
    };

    private static void CheckTexts(string name, FieldValue? value)
    {
        if (value is not { } given)
            return;
        foreach (var key in given.Values ?? throw Unacceptable(name, given))
        {
            if (key.Text is null)
                throw Unacceptable(name, key);
        }
    }

    private static AmqpException Unacceptable(string header, FieldValue value) => new(ReplyCode.PreconditionFailed,
        $"invalid message: {{unacceptable_type_in_header,\"{header}\",{TypeNameOf(value)}}}");
}
