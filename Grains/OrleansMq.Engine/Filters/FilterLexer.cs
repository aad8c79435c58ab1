using System.Text;

namespace OrleansMq.Filters;

/// <summary>The kinds of tokens.</summary>
internal enum FilterTokenKind : byte
{
    Unknown = 0,
    /// <summary>A word of the language, or a header's name without quotes.</summary>
    Word,
    /// <summary>A header's name in double quotes.</summary>
    Name,
    /// <summary>A text in quotes.</summary>
    Text,
    /// <summary>A number without its sign.</summary>
    Number,
    /// <summary>An operator, a parenthesis, a comma or a sign.</summary>
    Symbol,
    /// <summary>The end of the text.</summary>
    End,
}

/// <summary>A token.</summary>
/// <param name="Kind">Its kind.</param>
/// <param name="Text">The characters; of names and texts without quotes.</param>
/// <param name="Column">The first character, from 1.</param>
internal readonly record struct FilterToken(FilterTokenKind Kind, string Text, int Column)
{
    public bool IsWord(string word) => Kind == FilterTokenKind.Word && string.Equals(Text, word, StringComparison.OrdinalIgnoreCase);

    public bool IsSymbol(string symbol) => Kind == FilterTokenKind.Symbol && Text == symbol;

    public override string ToString() => Kind switch
    {
        FilterTokenKind.End => "the end",
        FilterTokenKind.Text => "a text",
        _ => $"'{(Text.Length > 40 ? Text[..40] : Text)}'",
    };
}

/// <summary>Cuts the text of an expression into tokens. Blanks and comments (<c>-- to the end of the line</c>, <c>/* */</c>) separate
/// them.</summary>
internal sealed class FilterLexer(string text)
{
    private int _position;

    /// <summary>Reads the next token; at the end again and again <see cref="FilterTokenKind.End"/>.</summary>
    /// <exception cref="FilterSyntaxException">There is no token.</exception>
    public FilterToken Read()
    {
        SkipBlanks();
        var start = _position;
        if (start == text.Length)
            return new FilterToken(FilterTokenKind.End, "", start + 1);
        var c = text[start];
        if (c == '\'')
            return new FilterToken(FilterTokenKind.Text, ReadQuoted('\'', "text"), start + 1);
        if (c == '"')
        {
            var name = ReadQuoted('"', "name");
            return name.Length > 0 ? new FilterToken(FilterTokenKind.Name, name, start + 1)
                : throw new FilterSyntaxException(start + 1, "expected a header's name between the double quotes.");
        }
        if (FilterWords.IsNameStart(c))
        {
            while (_position < text.Length && FilterWords.IsNamePart(text[_position]))
                _position++;
            return Token(FilterTokenKind.Word, start);
        }
        if (char.IsAsciiDigit(c) || c == '.')
            return ReadNumber();
        _position++;
        if (c is '<' or '>' && _position < text.Length && (text[_position] == '=' || c == '<' && text[_position] == '>'))
            _position++;
        if (c is '<' or '>' or '=' or '(' or ')' or ',' or '+' or '-')
            return Token(FilterTokenKind.Symbol, start);
        throw new FilterSyntaxException(start + 1,
            $"'{Character(start)}' is no part of the language: expected a name, a literal, an operator or a parenthesis.");
    }

    private FilterToken Token(FilterTokenKind kind, int start) => new(kind, text[start.._position], start + 1);

    private string Character(int at) =>
        char.IsControl(text[at]) ? $"\\u{(int)text[at]:x4}" : Rune.TryGetRuneAt(text, at, out var rune) ? rune.ToString() : "\\ufffd";

    private void SkipBlanks()
    {
        while (_position < text.Length)
        {
            if (text[_position] is ' ' or '\t' or '\n' or '\r' or '\f')
                _position++;
            else if (StartsWith("--"))
            {
                var end = text.AsSpan(_position).IndexOfAny('\n', '\r');
                _position = end < 0 ? text.Length : _position + end;
            }
            else if (StartsWith("/*"))
            {
                var end = text.IndexOf("*/", _position + 2, StringComparison.Ordinal);
                if (end < 0)
                    throw new FilterSyntaxException(_position + 1, "the comment does not end: expected '*/'.");
                _position = end + 2;
            }
            else
                return;
        }
    }

    private bool StartsWith(string value) => text.AsSpan(_position).StartsWith(value);

    private string ReadQuoted(char quote, string what)
    {
        var start = _position++;
        var read = new StringBuilder();
        while (true)
        {
            var next = text.IndexOf(quote, _position);
            if (next < 0)
                throw new FilterSyntaxException(start + 1, $"the {what} does not end: expected {quote} behind it.");
            read.Append(text, _position, next - _position);
            _position = next + 1;
            if (_position == text.Length || text[_position] != quote)
                return read.ToString();
            read.Append(quote);
            _position++;
        }
    }

    // Digits, an optional fraction, an optional exponent. Behind an integer may stand an l, as in Java.
    private FilterToken ReadNumber()
    {
        var start = _position;
        var digits = SkipDigits();
        var isInteger = true;
        if (_position < text.Length && text[_position] == '.')
        {
            isInteger = false;
            _position++;
            digits += SkipDigits();
        }
        if (digits == 0)
            throw new FilterSyntaxException(start + 1, "expected a digit beside the point.");
        if (_position < text.Length && text[_position] is 'e' or 'E')
        {
            isInteger = false;
            _position++;
            if (_position < text.Length && text[_position] is '+' or '-')
                _position++;
            if (SkipDigits() == 0)
                throw new FilterSyntaxException(_position + 1, "expected a digit of the exponent.");
        }
        var number = Token(FilterTokenKind.Number, start);
        if (isInteger && _position < text.Length && text[_position] is 'l' or 'L')
            _position++;
        if (_position < text.Length && FilterWords.IsNamePart(text[_position]))
            throw new FilterSyntaxException(_position + 1, "expected a blank or an operator behind the number.");
        return number;
    }

    private int SkipDigits()
    {
        var start = _position;
        while (_position < text.Length && char.IsAsciiDigit(text[_position]))
            _position++;
        return _position - start;
    }
}
