import { Button, FileButton } from "@mantine/core";
import { FileUp } from "lucide-react";
import { type DragEvent, useState } from "react";
import { cannotSend, droppedFiles } from "../../lib/captures";
import { count } from "../../lib/words";
import classes from "../Captures.module.css";

type Props = { files: File[]; onChoose: (files: File[]) => void };

/** Takes files by button, or files and folders by dropping them. */
export function FileDrop({ files, onChoose }: Props) {
  const [isOver, setOver] = useState(false);
  const [refusal, setRefusal] = useState<string | null>(null);

  const choose = (chosen: File[]) => {
    const reason = cannotSend(chosen);
    setRefusal(reason);
    onChoose(reason ? [] : chosen);
  };
  const drop = async (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    try {
      choose(await droppedFiles(event.dataTransfer));
    } catch {
      setRefusal("The browser could not read what was dropped. Choose the files instead.");
    }
  };

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: dropping is a shortcut; the button does the same
    <div
      className={classes.drop}
      data-over={isOver}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      <FileButton multiple onChange={choose} inputProps={{ "aria-label": "Files of the capture" }}>
        {(props) => (
          <Button {...props} size="xs" leftSection={<FileUp size={14} aria-hidden />}>
            Choose files
          </Button>
        )}
      </FileButton>
      <span role="status">
        {refusal ?? (files.length === 0 ? "or drop the folder here" : namesOf(files))}
      </span>
    </div>
  );
}

function namesOf(files: File[]): string {
  const names = files.slice(0, 4).map((file) => file.name);
  const more = files.length - names.length;
  return `${count(files.length, "file")}: ${names.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}
