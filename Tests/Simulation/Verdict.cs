using System.Runtime.CompilerServices;

namespace OrleansMq.Tests.Simulation;

/// <summary>A broken invariant, by its name.</summary>
internal sealed class Verdict(string message) : Exception(message)
{
    public static void Require(bool holds, string invariant)
    {
        if (!holds)
            throw new Verdict(invariant);
    }

    /// <summary>Requires an invariant whose name is put together only if it is broken.</summary>
    public static void Require(bool holds, [InterpolatedStringHandlerArgument(nameof(holds))] ref Reason invariant)
    {
        if (!holds)
            throw new Verdict(invariant.ToString());
    }

    /// <summary>The text of a broken invariant. Of one that holds nothing is evaluated or formatted.</summary>
    [InterpolatedStringHandler]
    public ref struct Reason
    {
        private DefaultInterpolatedStringHandler _text;

        public Reason(int literalLength, int formattedCount, bool holds, out bool isNeeded)
        {
            isNeeded = !holds;
            if (isNeeded)
                _text = new DefaultInterpolatedStringHandler(literalLength, formattedCount);
        }

        public void AppendLiteral(string value) => _text.AppendLiteral(value);

        public void AppendFormatted<T>(T value) => _text.AppendFormatted(value);

        public override string ToString() => _text.ToStringAndClear();
    }
}
