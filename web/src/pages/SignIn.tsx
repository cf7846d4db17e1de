import { Alert, Button, PasswordInput, Stack, TextInput, Title } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, useRouter } from "@tanstack/react-router";
import { type FormEvent, useEffect, useState } from "react";
import { api, Problem, take } from "../api/client";
import { sessionQuery } from "../api/queries";
import { Logo } from "../components/Logo";
import { describe } from "../lib/problems";
import classes from "./SignIn.module.css";

const route = getRouteApi("/sign-in");

export function SignIn() {
  const { return: back } = route.useSearch();
  const router = useRouter();
  const queries = useQueryClient();
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");

  useEffect(() => {
    document.title = "Sign in · Portreeve";
  }, []);

  const signIn = useMutation({
    mutationFn: () => take(api.POST("/api/v1/session", { body: { name, password } })),
    onSuccess: (session) => {
      queries.setQueryData(sessionQuery.queryKey, session);
      router.history.replace(ownPath(back));
    },
    onError: () => setPassword(""),
  });

  const submit = (event: FormEvent) => {
    event.preventDefault();
    signIn.mutate();
  };

  return (
    <main className={classes.page}>
      <form className={classes.form} onSubmit={submit} aria-label="Sign in">
        <Logo />
        <Title order={1} className={classes.title}>
          Sign in
        </Title>
        <Stack gap="sm">
          {signIn.error ? (
            <Alert color="red" variant="light" py="xs" role="alert">
              {explain(signIn.error)}
            </Alert>
          ) : null}
          <TextInput
            label="Name"
            name="name"
            autoComplete="username"
            autoFocus
            required
            withAsterisk={false}
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
          />
          <PasswordInput
            label="Password"
            name="password"
            autoComplete="current-password"
            required
            withAsterisk={false}
            value={password}
            onChange={(event) => setPassword(event.currentTarget.value)}
          />
          <Button type="submit" mt={4} loading={signIn.isPending} fullWidth>
            Sign in
          </Button>
        </Stack>
        <p className={classes.hint}>
          Operators are created on the server: <code className="mono">portreeve-server operator create</code>
        </p>
      </form>
    </main>
  );
}

function explain(error: Error): string {
  if (error instanceof Problem) {
    switch (error.code) {
      case "session.wrong-credentials":
        return "The name or the password is wrong.";
      case "session.too-many-attempts":
        return "Too many attempts. Wait a minute, then try again.";
    }
  }
  const { title, advice } = describe(error);
  return `${title}. ${advice}`;
}

/** A return address within this site; a link could name any. */
function ownPath(back: string | undefined): string {
  if (!back) return "/";
  const target = new URL(back, window.location.origin);
  return target.origin === window.location.origin ? target.pathname + target.search + target.hash : "/";
}
