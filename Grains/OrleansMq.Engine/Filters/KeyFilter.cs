using System.Text;
using OrleansMq.Records;

namespace OrleansMq.Filters;

/// <summary>
/// The records of one key: <code>KEY() = 'text' | KEY() = X'hexadecimal'</code> A text is UTF-8. It stands alone: it is no part of a
/// condition over headers. <see cref="SqlFilter"/> refuses its text, as versions without it do.
/// </summary>
internal sealed class KeyFilter : RecordFilter
{
    private readonly byte[] _key;
    private readonly string _text;

    private KeyFilter(byte[] key, string text) => (_key, _text) = (key, text);

    /// <summary>Returns the text of the filter of a key.</summary>
    public static string TextOf(ReadOnlySpan<byte> key) => $"KEY() = X'{Convert.ToHexString(key)}'";

    /// <summary>Parses a text, if it begins as that of a key's filter does; otherwise returns null.</summary>
    /// <exception cref="FilterSyntaxException">It is wrong, or too long.</exception>
    public static KeyFilter? TryParse(string text)
    {
        if (!text.AsSpan().TrimStart().StartsWith("KEY", StringComparison.OrdinalIgnoreCase))
            return null;
        var lexer = new FilterLexer(text);
        if (!lexer.Read().IsWord("KEY") || !lexer.Read().IsSymbol("("))
            return null;
        if (text.Length > FilterLimits.MaxLength)
            throw new FilterSyntaxException(FilterLimits.MaxLength + 1,
                $"the filter of a key has {text.Length} characters; at most {FilterLimits.MaxLength} are allowed.");
        Expect(lexer.Read(), ")");
        Expect(lexer.Read(), "=");
        var literal = lexer.Read();
        var isHexadecimal = literal.IsWord("X");
        if (isHexadecimal)
            literal = lexer.Read();
        if (literal.Kind != FilterTokenKind.Text)
            throw Wrong(literal, "a text in quotes, or X and hexadecimal digits in quotes");
        var key = isHexadecimal ? ReadHexadecimal(literal) : Encoding.UTF8.GetBytes(literal.Text);
        if (lexer.Read() is { Kind: not FilterTokenKind.End } more)
            throw Wrong(more, "the end: the filter of a key stands alone");
        return new KeyFilter(key, text);
    }

    /// <inheritdoc/>
    public override bool Matches(in Record record) => record.Key is { } key && key.Span.SequenceEqual(_key);

    /// <inheritdoc/>
    /// <remarks>Headers alone have no key.</remarks>
    public override bool Matches(ReadOnlySpan<byte> headers, int count) => false;

    /// <summary>Returns the filter's text.</summary>
    public override string ToString() => _text;

    private static byte[] ReadHexadecimal(FilterToken literal)
    {
        try
        {
            return Convert.FromHexString(literal.Text);
        }
        catch (FormatException)
        {
            throw Wrong(literal, "an even number of hexadecimal digits between the quotes");
        }
    }

    private static void Expect(FilterToken token, string symbol)
    {
        if (!token.IsSymbol(symbol))
            throw Wrong(token, $"'{symbol}'");
    }

    private static FilterSyntaxException Wrong(FilterToken found, string expected) =>
        new(found.Column, $"expected {expected}, not {found}.");
}
