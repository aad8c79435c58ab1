using FsCheck;
using FsCheck.Fluent;
using Microsoft.FSharp.Core;

namespace OrleansMq.Tests.Engine;

/// <summary>Runs properties from a seed that a failure reports.</summary>
internal static class Properties
{
    /// <summary>Checks that <paramref name="holds"/> throws for none of <paramref name="count"/> generated values.</summary>
    public static void ForAll<T>(Gen<T> generator, Action<T> holds, int count = 200)
    {
        var seed = Seeds.Next();
        var replay = new Replay(new Rnd((ulong)seed), FSharpOption<int>.None);
        var config = Config.QuickThrowOnFailure.WithMaxTest(count).WithReplay(FSharpOption<Replay>.Some(replay));
        try
        {
            Check.One(config, Prop.ForAll(generator.ToArbitrary(), holds));
        }
        catch (Exception exception)
        {
            throw new Xunit.Sdk.XunitException($"{Seeds.Replay(seed)}\n{exception.Message}", exception);
        }
    }
}
