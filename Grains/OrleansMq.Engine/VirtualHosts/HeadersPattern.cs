using System.Collections.Immutable;

namespace OrleansMq.VirtualHosts;

/// <summary>The arguments of a binding of a headers exchange: which headers a message must have.</summary>
internal sealed class HeadersPattern
{
    private const string MatchArgument = "x-match";
    private const string IgnoredPrefix = "x-";
    private const string All = "all";
    private const string Any = "any";
    private const string AllWithX = "all-with-x";
    private const string AnyWithX = "any-with-x";
    // Each is looked up in every message.
    private const int MaxArguments = 255;
    // Characters or bytes of a value that are compared in a step.
    private const int StepLength = 64;

    private readonly ImmutableArray<(string Name, FieldValue Value)> _wanted;
    private readonly bool _isAny;

    private HeadersPattern(ImmutableArray<(string Name, FieldValue Value)> wanted, bool isAny) =>
        (_wanted, _isAny, Steps) = (wanted, isAny, 1 + wanted.Sum(static one => StepsOf(one.Value)));

    /// <summary>The steps of a match: one, one for each wanted header, and more for large values.</summary>
    public int Steps { get; }

    /// <summary>Returns why arguments are no pattern; null if they are.</summary>
    public static string? FaultOf(FieldTable arguments) => arguments[MatchArgument] switch
    {
        _ when arguments.Fields.Count > MaxArguments =>
            $"a binding of a headers exchange has at most {MaxArguments} arguments, not {arguments.Fields.Count}",
        null or TextValue { Value: All or Any or AllWithX or AnyWithX } => null,
        TextValue other => $"Invalid x-match field value \"{other.Value}\"; expected all, any, all-with-x, or any-with-x",
        { } wrong => $"Invalid x-match field type {wrong.TypeName} (value {wrong}); expected longstr",
    };

    /// <summary>Creates a pattern from a binding's arguments.</summary>
    public static HeadersPattern Of(FieldTable arguments)
    {
        var mode = arguments.Text(MatchArgument) ?? All;
        var isWithX = mode is AllWithX or AnyWithX;
        return new HeadersPattern([.. arguments.Fields
            .Where(field => field.Key != MatchArgument && (isWithX || !field.Key.StartsWith(IgnoredPrefix, StringComparison.Ordinal)))
            .Select(field => (field.Key, field.Value))], mode is Any or AnyWithX);
    }

    /// <summary>Whether a message with these headers matches. A wanted header without a value matches any.</summary>
    public bool Matches(FieldTable headers)
    {
        foreach (var (name, value) in _wanted)
        {
            var isMet = headers[name] is { } header && (value is VoidValue || value.IsEquivalent(header));
            if (isMet == _isAny)
                return _isAny;
        }
        return !_isAny;
    }

    private static int StepsOf(FieldValue value) => 1 + value switch
    {
        TextValue text => text.Value.Length / StepLength,
        BinaryValue binary => binary.Value.Length / StepLength,
        ArrayValue array => array.Items.Sum(StepsOf),
        TableValue table => table.Table.Fields.Sum(static field => StepsOf(field.Value)),
        _ => 0,
    };
}
