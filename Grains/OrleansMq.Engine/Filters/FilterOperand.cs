using System.Text;

namespace OrleansMq.Filters;

/// <summary>What a comparison compares.</summary>
internal abstract record FilterOperand
{
    /// <summary>Returns a text that is parsed to this operand.</summary>
    public abstract override string ToString();
}

/// <summary>A header's value.</summary>
/// <param name="Name">The identifier in the expression.</param>
/// <param name="Slot">The header's number in the expression.</param>
internal sealed record HeaderOperand(string Name, int Slot) : FilterOperand
{
    public override string ToString() => FilterWords.Identifier(Name);
}

/// <summary>A text literal.</summary>
internal sealed record TextOperand(string Text) : FilterOperand
{
    public byte[] Bytes { get; } = Encoding.UTF8.GetBytes(Text);
    public override string ToString() => FilterWords.Literal(Text);
}

/// <summary>A number literal.</summary>
internal sealed record NumberOperand(FilterNumber Number) : FilterOperand
{
    public override string ToString() => Number.ToString();
}

/// <summary>TRUE or FALSE.</summary>
internal sealed record TruthOperand(bool Value) : FilterOperand
{
    public override string ToString() => Value ? FilterWords.True : FilterWords.False;
}

/// <summary>The reserved words, and how names and texts are written. RocketMQ reserves the same words; LIKE and ESCAPE are words only
/// where a name cannot stand.</summary>
internal static class FilterWords
{
    public const string Not = "NOT";
    public const string And = "AND";
    public const string Or = "OR";
    public const string Between = "BETWEEN";
    public const string In = "IN";
    public const string True = "TRUE";
    public const string False = "FALSE";
    public const string Null = "NULL";
    public const string Is = "IS";
    public const string Contains = "CONTAINS";
    public const string StartsWith = "STARTSWITH";
    public const string EndsWith = "ENDSWITH";
    public const string Like = "LIKE";
    public const string Escape = "ESCAPE";

    /// <summary>The words that are no header's name, unless it is quoted.</summary>
    public static readonly HashSet<string> Reserved = new(StringComparer.OrdinalIgnoreCase)
    {
        Not, And, Or, Between, In, True, False, Null, Is, Contains, StartsWith, EndsWith,
    };

    /// <summary>Whether a name may begin with this character without quotes.</summary>
    public static bool IsNameStart(char c) => char.IsAsciiLetter(c) || c is '_' or '$';

    /// <summary>Whether a name may continue with this character without quotes.</summary>
    public static bool IsNamePart(char c) => IsNameStart(c) || char.IsAsciiDigit(c);

    public static string Identifier(string name) =>
        name.Length > 0 && IsNameStart(name[0]) && name.All(IsNamePart) && !Reserved.Contains(name) ? name
            : $"\"{name.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";

    public static string Literal(string text) => $"'{text.Replace("'", "''", StringComparison.Ordinal)}'";
}
