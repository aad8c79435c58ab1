using System.Globalization;
using System.Text;

namespace OrleansMq.Tests.Engine.Filters;

/// <summary>A random expression: its text, and what it means, evaluated the slow and simple way.</summary>
/// <param name="Text">The text, with random blanks and cases.</param>
/// <param name="Evaluate">Returns its value for a record's headers; null is unknown.</param>
internal sealed record ReferenceFilter(string Text, Func<IReadOnlyDictionary<string, string>, bool?> Evaluate)
{
    private static readonly string[] Names = ["n", "m", "t", "LIKE", "x-y", "in"];
    private static readonly string[] Pieces = ["%", "_", "a", "b", "ß", "😀"];
    private static readonly string[] Operators = ["=", "<>", "<", "<=", ">", ">="];

    /// <summary>Texts that are often equal, prefixes of each other, or numbers.</summary>
    public static string RandomText(Random random) => random.Next(4) switch
    {
        0 => random.Next(-3, 4).ToString(CultureInfo.InvariantCulture),
        1 => (random.Next(-30, 31) / 10m).ToString(CultureInfo.InvariantCulture),
        2 => random.Next(2) == 0 ? "true" : "False",
        _ => string.Concat(Enumerable.Range(0, random.Next(5)).Select(_ => new[] { "a", "b", "'", "%", "ß", "😀" }[random.Next(6)])),
    };

    public static Dictionary<string, string> Headers(Random random) =>
        Names.Where(_ => random.Next(4) != 0).ToDictionary(name => name, _ => RandomText(random));

    public static ReferenceFilter Create(Random random, int depth)
    {
        if (depth == 0 || random.Next(3) == 0)
            return Condition(random);
        var first = Create(random, depth - 1);
        var second = Create(random, depth - 1);
        var blank = random.Next(2) == 0 ? " " : " \t\n";
        return random.Next(3) switch
        {
            0 => new($"({first.Text}{blank}{Word(random, "AND")} {second.Text})",
                headers => And(first.Evaluate(headers), second.Evaluate(headers))),
            1 => new($"( {first.Text} {Word(random, "OR")}{blank}{second.Text})",
                headers => !And(!first.Evaluate(headers), !second.Evaluate(headers))),
            _ => new($"{Word(random, "NOT")}{blank}({first.Text})", headers => !first.Evaluate(headers)),
        };
    }

    private static ReferenceFilter Condition(Random random)
    {
        var name = Names[random.Next(Names.Length)];
        var written = name is "x-y" or "in" || random.Next(4) == 0 ? $"\"{name}\"" : name;
        var isNot = random.Next(2) == 0;
        var not = isNot ? Word(random, "NOT") + " " : "";
        return random.Next(9) switch
        {
            0 => Numeric(random, written, name),
            1 => Equality(random, written, name, isNot),
            2 => Range(random, $"{written} {not}", name, isNot),
            3 => List(random, $"{written} {not}", name, isNot),
            4 => new($"{written} {Word(random, "IS")} {not}{Word(random, "NULL")}", headers => headers.ContainsKey(name) == isNot),
            5 => Like(random, $"{written} {not}", name, isNot),
            6 => Search(random, $"{written} {not}", name, isNot),
            7 => new(isNot ? $"{written} = {Word(random, "FALSE")}" : written, headers => headers.TryGetValue(name, out var value)
                ? value.Equals("true", StringComparison.OrdinalIgnoreCase) != isNot : null),
            _ => Pair(random, written, name),
        };
    }

    private static ReferenceFilter Numeric(Random random, string written, string name)
    {
        var number = random.Next(-30, 31) / 10m;
        var @operator = Operators[random.Next(Operators.Length)];
        return new($"{written}{@operator} {number.ToString(CultureInfo.InvariantCulture)}",
            headers => Number(headers, name) is { } value ? Holds(@operator, value.CompareTo(number)) : null);
    }

    private static ReferenceFilter Equality(Random random, string written, string name, bool isNot)
    {
        var text = RandomText(random);
        return new($"{written} {(isNot ? "<>" : "=")}{Quoted(text)}",
            headers => headers.TryGetValue(name, out var value) ? (value == text) != isNot : null);
    }

    private static ReferenceFilter Range(Random random, string written, string name, bool isNot)
    {
        var (low, more) = (random.Next(-3, 4), random.Next(3));
        return new($"{written}{Word(random, "BETWEEN")} {low} {Word(random, "AND")} {low + more}",
            headers => Number(headers, name) is { } value ? (value >= low && value <= low + more) != isNot : null);
    }

    private static ReferenceFilter List(Random random, string written, string name, bool isNot)
    {
        var items = Enumerable.Range(0, random.Next(1, 4)).Select(_ => RandomText(random)).ToArray();
        return new($"{written}{Word(random, "IN")} ({string.Join(" ,", items.Select(Quoted))})",
            headers => headers.TryGetValue(name, out var value) ? items.Contains(value) != isNot : null);
    }

    private static ReferenceFilter Like(Random random, string written, string name, bool isNot)
    {
        var pattern = string.Concat(Enumerable.Range(0, random.Next(6)).Select(_ => Pieces[random.Next(Pieces.Length)]));
        return new($"{written}{Word(random, "LIKE")} {Quoted(pattern)}", headers => headers.TryGetValue(name, out var value)
            ? IsLike([.. value.EnumerateRunes()], [.. pattern.EnumerateRunes()]) != isNot : null);
    }

    private static ReferenceFilter Search(Random random, string written, string name, bool isNot)
    {
        var (text, word) = (RandomText(random), random.Next(3));
        return new($"{written}{Word(random, new[] { "CONTAINS", "STARTSWITH", "ENDSWITH" }[word])} {Quoted(text)}",
            headers => headers.TryGetValue(name, out var value) && text != "" && word switch
            {
                0 => value.Contains(text, StringComparison.Ordinal),
                1 => value.StartsWith(text, StringComparison.Ordinal),
                _ => value.EndsWith(text, StringComparison.Ordinal),
            } != isNot);
    }

    private static ReferenceFilter Pair(Random random, string written, string name)
    {
        var other = Names[random.Next(2)];
        var order = Operators[random.Next(Operators.Length)];
        if (order is "=" or "<>")
        {
            return new($"{written} {order} {other}", headers => headers.TryGetValue(name, out var value)
                && headers.TryGetValue(other, out var same) ? (value == same) == (order == "=") : null);
        }
        return new($"{written} {order} {other}", headers => Number(headers, name) is { } one && Number(headers, other) is { } two
            ? Holds(order, one.CompareTo(two)) : null);
    }

    private static bool? And(bool? first, bool? second) =>
        first == false || second == false ? false : first is null || second is null ? null : true;

    private static decimal? Number(IReadOnlyDictionary<string, string> headers, string name)
    {
        const NumberStyles Style = NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint;
        return headers.TryGetValue(name, out var value) && decimal.TryParse(value, Style, CultureInfo.InvariantCulture, out var number)
            ? number : null;
    }

    private static bool Holds(string @operator, int compared) => @operator switch
    {
        "=" => compared == 0,
        "<>" => compared != 0,
        "<" => compared < 0,
        "<=" => compared <= 0,
        ">" => compared > 0,
        _ => compared >= 0,
    };

    private static bool IsLike(ReadOnlySpan<Rune> value, ReadOnlySpan<Rune> pattern)
    {
        if (pattern.IsEmpty)
            return value.IsEmpty;
        if (pattern[0].Value == '%')
            return IsLike(value, pattern[1..]) || !value.IsEmpty && IsLike(value[1..], pattern);
        return !value.IsEmpty && (pattern[0].Value == '_' || pattern[0] == value[0]) && IsLike(value[1..], pattern[1..]);
    }

    private static string Word(Random random, string word) => random.Next(2) == 0 ? word : word.ToLowerInvariant();

    private static string Quoted(string text) => $"'{text.Replace("'", "''", StringComparison.Ordinal)}'";
}
