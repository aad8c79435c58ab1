using System.Text;

namespace OrleansMq.Filters;

/// <summary>Parses an expression by recursive descent, at most <see cref="FilterLimits.MaxDepth"/> deep.</summary>
internal sealed class FilterParser
{
    private readonly FilterLexer _lexer;
    private readonly Dictionary<string, int> _slots = new(StringComparer.Ordinal);
    private readonly List<string> _names = [];
    private FilterToken _next;
    private int _depth;
    private int _terms;
    private int _patternBytes;

    /// <summary>Creates a parser of a text.</summary>
    /// <exception cref="FilterSyntaxException">The text is too long, or does not begin with a token.</exception>
    public FilterParser(string text)
    {
        if (text.Length > FilterLimits.MaxLength)
            throw new FilterSyntaxException(FilterLimits.MaxLength + 1,
                $"the expression has {text.Length} characters; at most {FilterLimits.MaxLength} are allowed.");
        for (var i = 0; i < text.Length; i++)
        {
            if (!char.IsSurrogate(text[i]))
                continue;
            if (i + 1 == text.Length || !char.IsSurrogatePair(text[i], text[i + 1]))
                throw new FilterSyntaxException(i + 1, "half of a character: expected the other half of its surrogate pair.");
            i++;
        }
        _lexer = new FilterLexer(text);
        _next = _lexer.Read();
    }

    /// <summary>The names of the expression; a name's index is its slot.</summary>
    public IReadOnlyList<string> Names => _names;

    /// <summary>Parses the whole text.</summary>
    /// <exception cref="FilterSyntaxException">It is no expression.</exception>
    public FilterCondition Parse()
    {
        var condition = ParseAnyOf();
        return _next.Kind == FilterTokenKind.End ? condition : throw Expected("AND, OR or the end");
    }

    private FilterCondition ParseAnyOf()
    {
        var first = ParseAllOf();
        if (!_next.IsWord(FilterWords.Or))
            return first;
        var conditions = new List<FilterCondition> { first };
        while (TryTakeWord(FilterWords.Or))
            conditions.Add(ParseAllOf());
        return new AnyOf([.. conditions]);
    }

    private FilterCondition ParseAllOf()
    {
        var first = ParseNegation();
        if (!_next.IsWord(FilterWords.And))
            return first;
        var conditions = new List<FilterCondition> { first };
        while (TryTakeWord(FilterWords.And))
            conditions.Add(ParseNegation());
        return new AllOf([.. conditions]);
    }

    private FilterCondition ParseNegation()
    {
        if (!_next.IsWord(FilterWords.Not))
            return ParseCondition();
        Descend();
        Take();
        var condition = ParseNegation();
        _depth--;
        return new Negation(condition);
    }

    private FilterCondition ParseCondition()
    {
        if (_next.IsSymbol("("))
        {
            Descend();
            Take();
            var inner = ParseAnyOf();
            TakeSymbol(")", "AND, OR or ')'");
            _depth--;
            return inner;
        }
        CountTerm();
        if (TryTakeWord(FilterWords.Null))
            return new TruthConstant(Truth.Unknown);
        var (column, left) = (_next.Column, ParseOperand());
        if (TryTakeOperator() is { } @operator)
        {
            var right = ParseOperand();
            return Comparison.Fault(left, @operator, right) is { } fault ? throw new FilterSyntaxException(column, fault + ".")
                : new Comparison(left, @operator, right);
        }
        if (IsConditionWord())
            return ParseWordCondition(column, left);
        return left switch
        {
            HeaderOperand header => new HeaderIsTrue(header),
            TruthOperand truth => new TruthConstant(truth.Value ? Truth.True : Truth.False),
            _ => throw Expected("a comparison behind the literal"),
        };
    }

    private bool IsConditionWord() => _next.IsWord(FilterWords.Not) || _next.IsWord(FilterWords.Between) || _next.IsWord(FilterWords.In)
        || _next.IsWord(FilterWords.Is) || _next.IsWord(FilterWords.Like) || _next.IsWord(FilterWords.Contains)
        || _next.IsWord(FilterWords.StartsWith) || _next.IsWord(FilterWords.EndsWith);

    private FilterCondition ParseWordCondition(int column, FilterOperand left)
    {
        var isNegated = TryTakeWord(FilterWords.Not);
        if (TryTakeWord(FilterWords.Between))
            return ParseBetween(column, left, isNegated);
        if (left is not HeaderOperand header)
            throw new FilterSyntaxException(column, $"expected a header's name before {_next}.");
        if (!isNegated && TryTakeWord(FilterWords.Is))
        {
            var isNotNull = TryTakeWord(FilterWords.Not);
            return TryTakeWord(FilterWords.Null) ? new HeaderIsNull(header, isNotNull)
                : throw Expected(isNotNull ? "NULL" : "NULL or NOT NULL");
        }
        if (TryTakeWord(FilterWords.In))
            return ParseIn(header, isNegated);
        if (TryTakeWord(FilterWords.Like))
            return ParseLike(header, isNegated);
        foreach (var word in (ReadOnlySpan<string>)[FilterWords.Contains, FilterWords.StartsWith, FilterWords.EndsWith])
        {
            if (TryTakeWord(word))
                return new HeaderHasText(header, word, ParsePattern(), isNegated);
        }
        throw Expected("BETWEEN, IN, LIKE, CONTAINS, STARTSWITH or ENDSWITH");
    }

    private Between ParseBetween(int column, FilterOperand value, bool isNegated)
    {
        var lowColumn = _next.Column;
        var low = ParseOperand();
        if (!TryTakeWord(FilterWords.And))
            throw Expected("AND and the upper bound");
        var high = ParseOperand();
        if (Comparison.Fault(value, ComparisonOperator.Less, low) is not null
            || Comparison.Fault(value, ComparisonOperator.Less, high) is not null)
            throw new FilterSyntaxException(column, "BETWEEN compares numbers: expected numbers or headers' names.");
        if (low is NumberOperand least && high is NumberOperand most && least.Number.CompareTo(most.Number) > 0)
            throw new FilterSyntaxException(lowColumn, $"{low} is above {high}: expected the lower bound first.");
        return new Between(value, low, high, isNegated);
    }

    private HeaderIsIn ParseIn(HeaderOperand header, bool isNegated)
    {
        TakeSymbol("(", "'(' and a list of texts");
        var items = new List<TextOperand> { new(TakeText()) };
        while (_next.IsSymbol(","))
        {
            Take();
            CountTerm();
            items.Add(new TextOperand(TakeText()));
        }
        TakeSymbol(")", "',' or ')'");
        return new HeaderIsIn(header, [.. items], isNegated);
    }

    private HeaderIsLike ParseLike(HeaderOperand header, bool isNegated)
    {
        var column = _next.Column;
        var text = ParsePattern().Text;
        char? escape = null;
        if (TryTakeWord(FilterWords.Escape))
        {
            var token = _next;
            var value = TakeText();
            escape = value.Length == 1 ? value[0]
                : throw new FilterSyntaxException(token.Column, "expected one character of the Basic Multilingual Plane behind ESCAPE.");
        }
        return LikePattern.Compile(text, escape, out var fault) is { } pattern
            ? new HeaderIsLike(header, pattern, text, escape, isNegated)
            : throw new FilterSyntaxException(column,
                $"character {fault + 1} of the pattern is the escape character: expected '%', '_' or itself behind it.");
    }

    private TextOperand ParsePattern()
    {
        var column = _next.Column;
        var pattern = new TextOperand(TakeText());
        _patternBytes += pattern.Bytes.Length;
        return _patternBytes <= FilterLimits.MaxPatternBytes ? pattern
            : throw new FilterSyntaxException(column,
                $"the patterns have {_patternBytes} bytes so far; at most {FilterLimits.MaxPatternBytes} are allowed.");
    }

    private FilterOperand ParseOperand()
    {
        var token = _next;
        switch (token.Kind)
        {
            case FilterTokenKind.Text:
                Take();
                return new TextOperand(token.Text);
            case FilterTokenKind.Number:
                Take();
                return Number(token, "");
            case FilterTokenKind.Symbol when token.Text is "+" or "-":
                Take();
                return _next.Kind == FilterTokenKind.Number ? Number(Take(), token.Text) : throw Expected("a number behind the sign");
            case FilterTokenKind.Word when TryTakeWord(FilterWords.True):
                return new TruthOperand(true);
            case FilterTokenKind.Word when TryTakeWord(FilterWords.False):
                return new TruthOperand(false);
            case FilterTokenKind.Word when token.IsWord(FilterWords.Null):
                throw new FilterSyntaxException(token.Column, "NULL cannot be compared: expected IS NULL or IS NOT NULL behind a name.");
            case FilterTokenKind.Name:
            case FilterTokenKind.Word when !FilterWords.Reserved.Contains(token.Text):
                Take();
                return new HeaderOperand(token.Text, SlotOf(token));
            default:
                throw Expected("a header's name or a literal");
        }
    }

    private static NumberOperand Number(FilterToken token, string sign) =>
        FilterNumber.TryParse(Encoding.ASCII.GetBytes(sign == "-" ? sign + token.Text : token.Text), out var number)
            ? new NumberOperand(number)
            : throw new FilterSyntaxException(token.Column,
                $"the number is too large, or longer than {FilterLimits.MaxNumberBytes} characters.");

    private int SlotOf(FilterToken name)
    {
        if (_slots.TryGetValue(name.Text, out var slot))
            return slot;
        if (_names.Count == FilterLimits.MaxHeaders)
            throw new FilterSyntaxException(name.Column, $"more than {FilterLimits.MaxHeaders} different names.");
        slot = _names.Count;
        _slots.Add(name.Text, slot);
        _names.Add(name.Text);
        return slot;
    }

    private ComparisonOperator? TryTakeOperator()
    {
        if (_next.Kind != FilterTokenKind.Symbol)
            return null;
        ComparisonOperator? @operator = _next.Text switch
        {
            "=" => ComparisonOperator.Equal,
            "<>" => ComparisonOperator.NotEqual,
            "<" => ComparisonOperator.Less,
            "<=" => ComparisonOperator.LessOrEqual,
            ">" => ComparisonOperator.Greater,
            ">=" => ComparisonOperator.GreaterOrEqual,
            _ => null,
        };
        if (@operator is not null)
            Take();
        return @operator;
    }

    private void CountTerm()
    {
        if (++_terms > FilterLimits.MaxTerms)
            throw new FilterSyntaxException(_next.Column, $"more than {FilterLimits.MaxTerms} conditions and items.");
    }

    private void Descend()
    {
        if (++_depth > FilterLimits.MaxDepth)
            throw new FilterSyntaxException(_next.Column, $"parentheses and NOT nest deeper than {FilterLimits.MaxDepth}.");
    }

    private FilterToken Take()
    {
        var token = _next;
        _next = _lexer.Read();
        return token;
    }

    private bool TryTakeWord(string word)
    {
        if (!_next.IsWord(word))
            return false;
        Take();
        return true;
    }

    private void TakeSymbol(string symbol, string expected)
    {
        if (!_next.IsSymbol(symbol))
            throw Expected(expected);
        Take();
    }

    private string TakeText() => _next.Kind == FilterTokenKind.Text ? Take().Text : throw Expected("a text in single quotes");

    private FilterSyntaxException Expected(string what) => new(_next.Column, $"expected {what}, but found {_next}.");
}
