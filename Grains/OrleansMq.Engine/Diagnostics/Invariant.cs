using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace OrleansMq.Diagnostics;

/// <summary>A condition that only a bug of ours can break. On in release: the partition that hits one is fenced and stops; the process
/// lives.</summary>
internal static class Invariant
{
    /// <summary>Throws <see cref="InvariantViolationException"/> unless <paramref name="condition"/> holds.</summary>
    public static void Check([DoesNotReturnIf(false)] bool condition, string message,
        [CallerArgumentExpression(nameof(condition))] string? expression = null)
    {
        if (!condition)
            Fail(message, expression);
    }

    [DoesNotReturn]
    private static void Fail(string message, string? expression) =>
    throw new InvariantViolationException($"{message} (violated: {expression})");
}

/// <summary>A bug in OrleansMq: please report it with the message.</summary>
internal sealed class InvariantViolationException(string message) : Exception(message);
